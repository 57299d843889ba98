// The dream and the world, 30 steps a second while the stage has focus or the agent plays.
import { bytesOf, paint } from "./shared.js";

const STEP = 1000 / 30;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export function start(section, about, line) {
  const find = (name) => section.querySelector(name);
  const stage = find(".stage"), agent = find(".agent"), heat = find(".temperature");
  const screens = { dream: find(".dreamt"), world: find(".real") };
  const held = new Set();
  const sends = [], waits = [];
  let timer = 0, due = 0, sent = 0, broken = false;

  find(".env").textContent = about.env;
  [heat.min, heat.max] = about.temperatures;
  heat.value = about.temperature;
  heat.oninput = () => { heat.nextElementSibling.value = Number(heat.value).toFixed(2); };
  heat.oninput();
  for (const screen of Object.values(screens)) {
    const canvas = screen.querySelector("canvas");
    [canvas.height, canvas.width] = about.shape;
    canvas.onkeydown = (event) => {
      if (event.key === "Escape") canvas.blur();
      if (!(event.key in KEYS)) return;
      event.preventDefault(); // the page does not scroll
      held.add(event.key);
    };
    canvas.onkeyup = (event) => held.delete(event.key);
    canvas.onblur = () => held.clear();
  }
  if (!about.ends) screens.dream.querySelector("figcaption").textContent += " (its model predicts no end)";

  for (const button of section.querySelectorAll(".hold button")) {
    button.hidden = button.classList.contains("vertical") && !about.vertical;
    const key = button.dataset.key;
    const press = () => { held.add(key); button.classList.add("held"); };
    const release = () => { held.delete(key); button.classList.remove("held"); };
    button.onpointerdown = (event) => {
      event.preventDefault();
      button.focus();
      button.setPointerCapture(event.pointerId);
      press();
    };
    button.onpointerup = button.onpointercancel = button.onlostpointercapture = button.onblur = release;
    button.onkeydown = (event) => { if (event.key === " " || event.key === "Enter") press(); };
    button.onkeyup = release;
    button.oncontextmenu = (event) => event.preventDefault(); // of a long touch
  }
  addEventListener("blur", () => held.clear());

  // --- the clock ---

  function playing() {
    if (document.hidden || section.hidden || broken) return false;
    return agent.checked || stage.contains(document.activeElement);
  }

  function wake() {
    if (!playing() || timer || line.busy) return status();
    due = performance.now();
    tick();
  }

  function tick() {
    timer = 0;
    status();
    if (!playing()) return;
    sent = performance.now();
    due = sent - due > STEP ? sent + STEP : due + STEP; // a late step does not hurry the next ones
    const [x, y] = [0, 1].map((k) => [...held].reduce((sum, key) => sum + KEYS[key][k], 0));
    line.send({ do: "step", x, y, agent: agent.checked ? 1 : 0, temperature: Number(heat.value) });
  }

  line.onanswer = (answer) => {
    if (answer.error) {
      broken = true;
      return;
    }
    measure();
    for (const [name, screen] of Object.entries(screens)) show(screen, answer[name]);
    if (playing()) timer = setTimeout(tick, Math.max(0, due - performance.now()));
    else status();
  };

  function show(screen, found) {
    const { frame } = found;
    paint(screen.querySelector("canvas"), bytesOf(frame), 0, frame.shape);
    screen.classList.toggle("ended", found.ended);
    screen.querySelector(".score").textContent = `Score ${found.score}${found.ended ? ", ended" : ""}`;
    screen.querySelector(".before").textContent = found.episodes
      ? `${found.episodes} episode${found.episodes > 1 ? "s" : ""}: best ${found.best}, mean ${found.mean}` : "";
  }

  function measure() {
    if (!sent) return;
    const now = performance.now();
    if (sends.length && now - sends.at(-1) > 1000) sends.length = waits.length = 0; // a pause
    sends.push(now);
    waits.push(now - sent);
    if (sends.length > 90) { sends.shift(); waits.shift(); }
    if (sends.length < 30 || sends.length % 15) return;
    const rate = (1000 * (sends.length - 1)) / (sends.at(-1) - sends[0]);
    const order = [...waits].sort((a, b) => a - b);
    const slow = order[Math.floor(0.95 * order.length)];
    find(".time").textContent = `${rate.toFixed(1)} steps/s, a step ${order[order.length >> 1].toFixed(0)} ms (95 %: ${slow.toFixed(0)} ms)`;
  }

  function status() {
    const keys = about.vertical ? "arrow keys" : "keys ← and →";
    find(".status").textContent = broken ? "Stopped. Begin again."
      : !playing() ? `Paused. Click a picture and use the ${keys}, or hold a button.`
      : agent.checked ? "The agent plays." : `You play, with the ${keys}. Escape pauses.`;
  }

  stage.addEventListener("focusin", wake);
  stage.addEventListener("focusout", () => setTimeout(wake));
  document.addEventListener("visibilitychange", wake);
  addEventListener("hashchange", () => setTimeout(wake));
  agent.onchange = wake;
  find(".begin").onclick = () => {
    broken = false;
    sent = 0;
    line.send({ do: "begin" });
  };
  find(".begin").click();
  status();
}
