// The Kalman VAE: a click hides a frame; rows of frames, and the plane of codes.
import { COLOURS, bytesOf, newElement, paint, rowsInto, sharpPen } from "./shared.js";

const METHODS = {
  smoothed: { colour: COLOURS.blue, dash: [], about: "Smoothed: from all observed frames" },
  filtered: { colour: COLOURS.orange, dash: [7, 4], about: "Filtered: from the observed frames up to each time" },
  generated: { colour: COLOURS.green, dash: [2, 3], about: "Generated: from the first run of observed frames" },
};

export function start(section, about, line) {
  const find = (name) => section.querySelector(name);
  const strip = find(".strip"), plane = find(".plane"), choice = find(".sequence");
  const [height, width] = about.shape;
  const hidden = new Set();
  const shown = new Set(Object.keys(METHODS));
  let newest = null, current = -1, sent = 0;

  const cut = about.steps < about.whole_steps ? `, the first ${about.steps} of ${about.whole_steps} frames` : "";
  find(".name").textContent += `. Videos: ${about.source}${cut}.`;
  for (let i = 0; i < about.sequences; i++) choice.append(newElement("option", `${i + 1}`, { value: i }));
  const plain = about.codes === 1 ? "The code a over time" : "The codes a";
  find(".axes").textContent = about.codes > 2 ? `${plain}: the first two of ${about.codes} numbers` : plain;

  // --- rows ---

  const buttons = [];
  const rows = {};
  const frames = newElement("div", "", { class: "frames" });
  for (let t = 0; t < about.steps; t++) {
    const button = newElement("button", "", { type: "button", "aria-pressed": "false" });
    const canvas = newElement("canvas", "");
    Object.assign(canvas, { width, height });
    button.append(canvas);
    button.onclick = () => {
      if (hidden.has(t)) hidden.delete(t);
      else hidden.add(t);
      ask();
    };
    button.onpointerenter = button.onfocus = () => look(t);
    buttons.push(button);
    frames.append(button);
  }
  strip.append(newElement("p", "Observed: click a frame to hide it", { class: "label" }), frames);
  for (const [name, { about: label }] of Object.entries(METHODS)) {
    strip.append(newElement("p", `${label}; below, the standard deviation of each pixel`, { class: "label" }));
    rows[name] = newRow(label);
    rows[`${name} spread`] = newRow(`${name}: standard deviation of each pixel, brighter is less certain`);
  }
  strip.append(newElement("p", "True", { class: "label" }));
  rows.true = newRow("The true frames");

  function newRow(label) {
    const canvas = newElement("canvas", "", { class: "row", role: "img", "aria-label": label });
    Object.assign(canvas, { width: width * about.steps, height });
    canvas.style.width = `calc(${about.steps} * var(--cell))`;
    canvas.onpointermove = (event) => {
      look(Math.floor((event.offsetX / canvas.clientWidth) * about.steps));
    };
    strip.append(canvas);
    return canvas;
  }

  function paintRow(canvas, picture, yellow) {
    const bytes = bytesOf(picture), shape = picture.shape.slice(1);
    const size = shape.reduce((a, b) => a * b);
    for (let t = 0; t < about.steps; t++) paint(canvas, bytes, t * size, shape, t * width, yellow);
  }

  // --- messages ---

  function ask() {
    sent = performance.now();
    for (const [t, button] of buttons.entries()) button.setAttribute("aria-pressed", hidden.has(t));
    line.send({ sequence: Number(choice.value), hidden: [...hidden] });
  }

  line.onanswer = (answer) => {
    if (answer.error) return;
    newest = answer;
    const bytes = bytesOf(answer.true), shape = answer.true.shape.slice(1);
    const size = shape.reduce((a, b) => a * b);
    for (const [t, button] of buttons.entries()) {
      paint(button.firstChild, bytes, t * size, shape);
      button.disabled = !answer.known[t];
      button.setAttribute("aria-label", `Frame ${t + 1}, ${!answer.known[t] ? "missing in the data" : hidden.has(t) ? "hidden" : "observed"}`);
    }
    paintRow(rows.true, answer.true);
    for (const name of Object.keys(METHODS)) {
      paintRow(rows[name], answer.rows[name].frames);
      paintRow(rows[`${name} spread`], answer.rows[name].spread, true);
    }
    rowsInto(find(".errors"), answer.errors.map(([name, error]) => [name, error.toFixed(4)]));
    find(".judgement").textContent = judgement(answer.errors);
    find(".time").textContent = `filled in ${Math.round(performance.now() - sent)} ms`;
    draw();
  };

  function judgement(errors) {
    if (!errors.length) return "Hide a frame to compare the methods.";
    const [, last] = errors.at(-1);
    const worse = errors.slice(0, -1).filter(([, error]) => error >= last).map(([name]) => name);
    if (worse.length) return `Not better than repeating the last observed frame: ${worse.join(", ")}.`;
    return "All three are better than repeating the last observed frame.";
  }

  choice.onchange = ask;
  for (const button of section.querySelectorAll("[data-hide]")) {
    button.onclick = () => {
      hidden.clear();
      const from = Math.min(4, about.steps - 1), to = Math.ceil(0.8 * about.steps);
      for (let t = 0; t < about.steps; t++) {
        const second = button.dataset.hide === "second" && t % 2 === 1;
        const block = button.dataset.hide === "block" && t >= from && t < to;
        if (second || block) hidden.add(t);
      }
      ask();
    };
  }

  // --- the plane of codes ---

  for (const [name, { colour, dash }] of Object.entries(METHODS)) {
    const label = newElement("label"), box = newElement("input", "", { type: "checkbox" });
    const sample = newElement("canvas", "", { "aria-hidden": "true" });
    box.checked = true;
    box.onchange = () => {
      if (box.checked) shown.add(name);
      else shown.delete(name);
      draw();
    };
    label.append(box, sample, name);
    find(".methods").append(label);
    const pen = sharpPen(sample, 48, 14);
    Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: 2 });
    pen.setLineDash(dash);
    pen.stroke(new Path2D("M0 7H48"));
    mark(pen, name, 24, 7, 4);
  }
  const codes = newElement("p", "● code of an observed frame, by the encoder", { class: "note" });
  find(".methods").append(codes);

  function look(t) {
    if (t === current) return;
    current = t;
    draw();
  }

  function mark(pen, name, x, y, size) {
    pen.setLineDash([]);
    pen.beginPath();
    if (name === "filtered") pen.rect(x - size * 0.85, y - size * 0.85, size * 1.7, size * 1.7);
    else if (name === "generated") {
      pen.moveTo(x, y - size * 1.2);
      pen.lineTo(x + size * 1.1, y + size * 0.8);
      pen.lineTo(x - size * 1.1, y + size * 0.8);
      pen.closePath();
    } else pen.arc(x, y, size, 0, 7);
    pen.fill();
  }

  function draw() {
    if (!newest) return;
    const side = plane.clientWidth || 360, tall = Math.min(side, 460);
    plane.style.height = `${tall}px`;
    const pen = sharpPen(plane, side, tall);
    const { encoded, codes: at, axes } = newest.plane;
    const place = scaled(at, axes, encoded, side, tall);
    frameOf(pen, place, side, tall);
    for (const name of Object.keys(METHODS)) if (shown.has(name)) path(pen, name, at[name], axes[name], place);
    for (let t = 0; t < about.steps; t++) {
      if (!newest.seen[t]) continue;
      pen.fillStyle = COLOURS.black;
      pen.beginPath();
      pen.arc(...place(encoded[t]), t === current ? 5 : 2.5, 0, 7);
      pen.fill();
    }
    const gone = newest.seen.filter((seen) => !seen).length;
    plane.setAttribute("aria-label", `Codes of ${about.steps} frames, ${gone} of them hidden, with 90 % ellipses`);
  }

  function scaled(at, axes, encoded, side, tall) {
    const seen = encoded.filter((_, t) => newest.seen[t]);
    const points = [...seen];
    for (const name of shown) {
      for (const [t, point] of at[name].entries()) {
        points.push(point);
        // the largest ellipses may leave the picture
        const reach = axes[name][t].map((row) => Math.min(Math.hypot(...row), 3));
        points.push(point.map((value, k) => value - reach[k]), point.map((value, k) => value + reach[k]));
      }
    }
    const finite = points.filter((point) => point.every((value) => value !== null));
    const low = [0, 1].map((k) => Math.min(...finite.map((point) => point[k])));
    const high = [0, 1].map((k) => Math.max(...finite.map((point) => point[k])));
    const edge = 30;
    const unit = [(side - 2 * edge) / (high[0] - low[0] || 1), (tall - 2 * edge) / (high[1] - low[1] || 1)];
    if (about.codes > 1) unit[0] = unit[1] = Math.min(...unit);
    const place = ([x, y]) => [
      side / 2 + (x - (low[0] + high[0]) / 2) * unit[0],
      tall / 2 - (y - (low[1] + high[1]) / 2) * unit[1],
    ];
    place.unit = unit;
    return place;
  }

  function frameOf(pen, place, side, tall) {
    pen.fillStyle = COLOURS.line;
    pen.font = "12px system-ui, sans-serif";
    pen.fillText(about.codes === 1 ? "frame →" : "a₁ →", side - 50, tall - 8);
    pen.fillText(about.codes === 1 ? "a ↑" : "a₂ ↑", 8, 16);
  }

  function path(pen, name, at, axes, place) {
    const { colour, dash } = METHODS[name];
    Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.5 });
    pen.setLineDash(dash);
    pen.beginPath();
    for (const point of at) pen.lineTo(...place(point));
    pen.stroke();
    for (const [t, point] of at.entries()) {
      const sure = name === "generated" ? newest.begun[t] : newest.seen[t];
      const [x, y] = place(point);
      mark(pen, name, x, y, t === current ? 5 : 2.5);
      if (sure && t !== current) continue;
      pen.setLineDash(dash);
      pen.lineWidth = t === current ? 3 : 1;
      pen.globalAlpha = t === current ? 1 : 0.55;
      pen.beginPath();
      for (let k = 0; k <= 48; k++) {
        const [u, v] = [Math.cos((k * Math.PI) / 24), Math.sin((k * Math.PI) / 24)];
        const [[a, b], [c, d]] = axes[t];
        pen.lineTo(x + (a * u + b * v) * place.unit[0], y - (c * u + d * v) * place.unit[1]);
      }
      pen.stroke();
      pen.globalAlpha = 1;
    }
  }

  addEventListener("resize", draw);
  find('[data-hide="block"]').click();
}
