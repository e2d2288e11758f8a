// A job's page: what was opened stays open when the page is refreshed, and outputs are drawn when they come into view.

import { drawTable } from "./table.js";

// A refreshed part has everything folded again, as it comes from the gateway; what the reader opened stays open, and a
// form that somebody has begun to fill in stays as it is, until it is sent and the gateway answers.
window.htmx?.registerExtension("keep-open", {
  htmx_before_morph_attr: (element, change) => !(change.attrName === "open" && /^(DETAILS|DIALOG)$/.test(element.tagName)),
  htmx_before_morph_node: (_, { oldNode }) => !typedIn.has(oldNode),
});
const typedIn = new Set();
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-keeps-typed]");
  if (form) typedIn.add(form);
});
document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
  if (ctx.response?.raw.ok) typedIn.delete(ctx.sourceElement);
});

const DRAWERS = { map: () => import("./map.js"), json: () => import("./tree.js") };

const inView = new IntersectionObserver(
  (entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      inView.unobserve(entry.target);
      draw(entry.target);
    }
  },
  { rootMargin: "200px" },
);

async function draw(place) {
  const { source, draw: kind } = place.dataset;
  try {
    const [drawer, answer] = await Promise.all([DRAWERS[kind](), fetch(source, { credentials: "same-origin" })]);
    if (!answer.ok) throw new Error(`the gateway answered ${answer.status}`);
    await drawer.draw(place, await answer.text());
  } catch (fault) {
    const words = document.createElement("p");
    words.className = "field-error";
    words.textContent = `This can't be shown: ${fault.message}. Download it to look at it.`;
    place.replaceChildren(words);
  }
}

function prepare(root = document) {
  for (const place of root.querySelectorAll("[data-draw]:not([data-ready])")) {
    place.dataset.ready = "";
    if (!("whenOpen" in place.dataset)) inView.observe(place);
    else place.closest("details").addEventListener("toggle", () => inView.observe(place), { once: true });
  }
  for (const table of root.querySelectorAll("table[data-sortable]:not([data-ready])")) {
    table.dataset.ready = "";
    drawTable(table);
  }
}

// A form that was taken folds its place, and the keyboard goes back to what had opened it.
function fold(event) {
  const form = event.detail?.ctx?.sourceElement;
  const place = document.getElementById(form?.dataset?.closes ?? "");
  if (!place || place.querySelector(".field-error")) return;
  place.open = false;
  place.querySelector("summary").focus();
}

prepare();
document.addEventListener("htmx:after:swap", (event) => {
  prepare();
  fold(event);
});
