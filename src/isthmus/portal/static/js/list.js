// Lists: selecting jobs with mouse and keyboard, questions in dialogs, what was open stays open as parts are renewed.
// Everything listens on the document, since htmx exchanges what is in it.
import { isTyping } from "./portal.js";

let lastPicked = null;

const rows = () => [...document.querySelectorAll("tr.job")];
const boxes = () => [...document.querySelectorAll('tr.job input[name="job"]')];

// --- selection
function showSelection() {
  const bar = document.querySelector("[data-selection-bar]");
  if (!bar) return;
  const all = boxes();
  const chosen = all.filter((box) => box.checked);
  for (const box of all) box.closest("tr").classList.toggle("is-selected", box.checked);
  bar.hidden = chosen.length === 0;
  bar.querySelector("[data-selection-count]").textContent = `${chosen.length} selected:`;
  const compare = bar.querySelector("[data-compare]");
  compare.disabled = chosen.length !== 2;
  compare.textContent = compare.disabled ? "Compare: choose two" : "Compare";
  const ended = chosen.filter((box) => "ended" in box.closest("tr").dataset).length;
  for (const button of bar.querySelectorAll("[data-needs]")) {
    const fitting = button.dataset.needs === "ended" ? ended : chosen.length - ended;
    button.disabled = chosen.length > 0 && fitting === 0;
    button.title = button.disabled ? (ended ? "They have ended already" : "Cancel them first") : "";
  }
  const every = document.querySelector("[data-all]");
  every.closest("label").hidden = false;
  every.checked = chosen.length > 0 && chosen.length === all.length;
  every.indeterminate = chosen.length > 0 && chosen.length < all.length;
}

function pickRange(from, to, checked) {
  const all = boxes();
  const [first, last] = [all.indexOf(from), all.indexOf(to)].sort((a, b) => a - b);
  if (first < 0) return;
  for (const box of all.slice(first, last + 1)) box.checked = checked;
}

document.addEventListener("click", (event) => {
  const box = event.target;
  if (!box.matches?.('tr.job input[name="job"]')) return;
  if (event.shiftKey && lastPicked && lastPicked !== box) pickRange(lastPicked, box, box.checked);
  lastPicked = box;
  showSelection();
});
document.addEventListener("change", (event) => {
  if (!event.target.matches?.("[data-all]")) return;
  for (const box of boxes()) box.checked = event.target.checked;
  showSelection();
});
document.addEventListener("keydown", (event) => {
  // Enter in the label's field labels: the form's first button would cancel.
  if (event.key !== "Enter" || event.target.id !== "new-label") return;
  event.preventDefault();
  event.target.form.querySelector('button[value="label"]').click();
});

// --- keyboard: j and k move, x selects; Enter opens, as the focus stands on the job's link
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const all = rows();
  const at = all.indexOf(document.activeElement?.closest?.("tr.job"));
  if (event.key === "j" || event.key === "k") {
    const next = all[at < 0 ? 0 : at + (event.key === "j" ? 1 : -1)];
    next?.querySelector(".job-link").focus();
    next?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "x" && at >= 0) {
    all[at].querySelector('input[name="job"]')?.click();
  }
});

// --- a text that was searched for as it was typed is not searched for again as its field is left: that would take away
// what was selected meanwhile
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-filters] input:not([type=date])")) event.stopImmediatePropagation();
}, true);

// --- everybody's jobs: a page hears of its reader's own only, so the rows in sight are asked for now and then
const RELOOK_MS = 10000;
setInterval(() => {
  if (document.hidden || !document.querySelector("table[data-everybody]")) return;
  for (const row of rows()) {
    const { top, bottom } = row.getBoundingClientRect();
    if (bottom > 0 && top < innerHeight) row.dispatchEvent(new CustomEvent("live"));
  }
}, RELOOK_MS);

// --- dialogs that the gateway sends
function showDialogs() {
  for (const dialog of document.querySelectorAll("dialog[data-modal]:not([open])")) dialog.showModal();
}
document.addEventListener("click", (event) => {
  const close = event.target.closest?.("dialog [data-close-dialog]");
  if (!close) return;
  event.preventDefault();
  close.closest("dialog").close();
});
document.addEventListener("close", (event) => event.target.matches?.("dialog[data-modal]") && event.target.remove(), true);

// --- parts that are renewed keep what their reader opened
const opened = new Set();
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details[id]")) return;
  if (event.target.open) opened.add(event.target.id);
  else if (!renewing) opened.delete(event.target.id);
}, true);
let renewing = false;
document.addEventListener("htmx:before:swap", () => (renewing = true));
document.addEventListener("htmx:after:swap", () => {
  for (const id of opened) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  setTimeout(() => (renewing = false), 50); // `toggle` is told a moment later
  showSelection();
  showDialogs();
  tellZone();
});

// --- days are those of the reader's zone
function tellZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const field of document.querySelectorAll("[data-zone]")) field.value = zone || "UTC";
}

tellZone();
showSelection();
showDialogs();
