// Tables and formulas that scroll sideways can be reached by keyboard (WCAG 2.1, 2.1.1). The theme
// does this for code only.
function makeScrollableFocusable() {
  for (const area of document.querySelectorAll("table, div.math")) {
    if (area.scrollWidth > area.clientWidth) area.tabIndex = 0;
    else area.removeAttribute("tabindex");
  }
}
window.addEventListener("load", makeScrollableFocusable);
window.addEventListener("resize", makeScrollableFocusable);
