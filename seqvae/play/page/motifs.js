// Motifs: a grid of moving skeletons, a card, and neighbours to go to.
import { COLOURS, newElement, rowsInto, sharpPen } from "./shared.js";

const KEYPOINTS = ["blue", "orange", "green", "red", "sky", "black", "purple"].map((name) => COLOURS[name]);
const TRAIL = 12; // frames
const NEIGHBOURS = { nearest: "Nearest motifs", before: "Comes after", after: "Is followed by" };

export function start(section, about, line) {
  const find = (name) => section.querySelector(name);
  const canvas = find(".skeletons"), run = find(".run");
  let shown = null, place = null, frame = 0, last = 0;
  let moving = !matchMedia("(prefers-reduced-motion: reduce)").matches;

  find(".name").textContent += `, ${about.sessions} session${about.sessions > 1 ? "s" : ""}.`;
  for (const { motif, share } of about.motifs) {
    const button = newElement("button", `${motif} (${(100 * share).toFixed(0)} %)`, { type: "button", "data-motif": motif });
    button.onclick = () => ask(motif);
    find(".choice").append(button);
  }
  find(".keypoints").append(...about.keypoints.map((name, k) => {
    const entry = newElement("span"), dot = newElement("canvas");
    const pen = sharpPen(dot, 12, 12);
    pen.fillStyle = KEYPOINTS[k % KEYPOINTS.length];
    pen.arc(6, 6, 5, 0, 7);
    pen.fill();
    entry.append(dot, ` ${name}`);
    return entry;
  }));

  function ask(motif) {
    line.send({ motif });
  }

  line.onanswer = (answer) => {
    if (answer.error) return;
    shown = answer;
    [place, frame] = [scaled(answer.bouts), moving ? 0 : Math.min(...answer.bouts.map((bout) => bout.from))];
    for (const button of section.querySelectorAll("[data-motif]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.motif) === answer.motif);
    }
    for (const title of section.querySelectorAll(".motif")) title.textContent = answer.motif;
    rowsInto(find(".card"), answer.card);
    find(".neighbours").replaceChildren(...Object.entries(NEIGHBOURS).map(([key, label]) => {
      const row = newElement("p", `${label}: `);
      const digits = key === "nearest" ? (value) => `distance ${value.toFixed(1)}` : (value) => `${(100 * value).toFixed(0)} %`;
      for (const [motif, value] of answer[key]) {
        const button = newElement("button", `${motif} (${digits(value)})`, { type: "button" });
        button.onclick = () => ask(motif);
        row.append(button);
      }
      if (!answer[key].length) row.append("none");
      return row;
    }));
    canvas.setAttribute("aria-label", `${answer.bouts.length} bouts of motif ${answer.motif} as moving skeletons`);
    draw();
  };

  // One scale for all panels, from the middle 99 % of the positions.
  function scaled(bouts) {
    const ends = [0, 1].map((k) => {
      const values = bouts.flatMap((bout) => bout.points.flat().map((point) => point[k])).filter((value) => value !== null);
      values.sort((a, b) => a - b);
      return values.length ? [0.005, 0.995].map((share) => values[Math.round(share * (values.length - 1))]) : [0, 0];
    });
    const reach = 1.15 * Math.max(...ends.map(([low, high]) => high - low)) || 1;
    return (point, size) => point.map((value, k) => size / 2 + ((value - (ends[k][0] + ends[k][1]) / 2) / reach) * size);
  }

  function draw() {
    if (!shown || section.hidden) return;
    const width = canvas.clientWidth || 360;
    const columns = Math.min(width < 480 ? 2 : 3, shown.bouts.length), size = width / columns;
    const height = size * Math.ceil(shown.bouts.length / columns);
    canvas.style.height = `${height}px`;
    const pen = sharpPen(canvas, width, height);
    for (const [i, bout] of shown.bouts.entries()) {
      pen.save();
      pen.translate((i % columns) * size, Math.floor(i / columns) * size);
      panel(pen, bout, size);
      pen.restore();
    }
  }

  function panel(pen, bout, size) {
    const t = Math.min(frame, bout.points.length - 1);
    const inside = frame >= bout.from && frame < bout.to;
    pen.strokeStyle = inside ? COLOURS.blue : COLOURS.grey;
    pen.lineWidth = inside ? 5 : 1;
    pen.beginPath();
    pen.rect(3, 3, size - 6, size - 6);
    pen.stroke();
    pen.clip();
    pen.globalAlpha = frame >= bout.points.length ? 0.35 : 1; // it has ended
    const at = (step, k) => bout.points[step][k].includes(null) ? null : place(bout.points[step][k], size);
    for (let k = 0; k < about.keypoints.length; k++) {
      pen.strokeStyle = KEYPOINTS[k % KEYPOINTS.length];
      pen.lineWidth = 0.8;
      pen.beginPath();
      for (let step = Math.max(0, t - TRAIL); step <= t; step++) if (at(step, k)) pen.lineTo(...at(step, k));
      pen.stroke();
    }
    pen.strokeStyle = COLOURS.line;
    pen.lineWidth = 2;
    for (const [a, b] of about.edges) {
      if (!at(t, a) || !at(t, b)) continue;
      pen.beginPath();
      pen.moveTo(...at(t, a));
      pen.lineTo(...at(t, b));
      pen.stroke();
    }
    for (let k = 0; k < about.keypoints.length; k++) {
      if (!at(t, k)) continue;
      pen.fillStyle = KEYPOINTS[k % KEYPOINTS.length];
      pen.beginPath();
      pen.arc(...at(t, k), 4, 0, 7);
      pen.fill();
    }
    pen.fillStyle = "#333";
    pen.font = "12px system-ui, sans-serif";
    pen.fillText(bout.name, 10, 18, size - 20);
  }

  // --- the clock ---

  function next(now) {
    requestAnimationFrame(next);
    if (!moving || !shown || section.hidden || now - last < 1000 / about.fps) return;
    last = now - last > 1000 ? now : last + 1000 / about.fps;
    const longest = Math.max(...shown.bouts.map((bout) => bout.points.length));
    frame = (frame + 1) % (longest + Math.round(about.fps / 2));
    draw();
  }

  function label() {
    run.textContent = moving ? "Pause" : "Run";
  }
  run.onclick = () => {
    moving = !moving;
    label();
  };
  label();
  addEventListener("resize", draw);
  requestAnimationFrame(next);
  ask(about.motifs[0].motif);
}
