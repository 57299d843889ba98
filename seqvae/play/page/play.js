// Shows the views; each is started when it is first looked at.
import { start as kvae } from "./kvae.js";
import { start as dream } from "./dream.js";
import { start as motifs } from "./motifs.js";
import { Line, showError } from "./shared.js";

const STARTS = { kvae, dream, motifs };
const started = new Set();
const about = await (await fetch("/about")).json();

function show() {
  const wanted = location.hash.slice(1);
  const view = wanted in STARTS ? wanted : about.first;
  for (const section of document.querySelectorAll("main section")) section.hidden = section.id !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  showError("");
  if (!started.has(view)) begin(view);
}

function begin(view) {
  started.add(view);
  const section = document.getElementById(view);
  const found = about.views[view];
  section.querySelector(".view").hidden = "missing" in found;
  if ("missing" in found) {
    // commands stand between backticks
    const parts = found.missing.split("`").map((text, i) => {
      if (i % 2 === 0) return text;
      const code = document.createElement("code");
      code.textContent = text;
      return code;
    });
    section.querySelector(".missing").append(...parts);
    return;
  }
  section.querySelector(".name").textContent = `Model: ${found.name}`;
  STARTS[view](section, found, new Line(view));
}

addEventListener("hashchange", show);
show();
