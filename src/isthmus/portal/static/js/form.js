// A job's form while it is filled in: looked at by the gateway after each change, kept as a draft, marked where it
// differs from the earlier job. Without this module the form still posts, and comes back with what is wrong.

import { csrfToken, showTimes } from "./portal.js";
import { bindFiles } from "./upload.js";

const LOOK_AFTER_MS = 300;
const SENDING = "Wait until the file is here, or cancel it.";
const SAVE_AFTER_MS = 1000;
const RETRY_SAVE_MS = 5000;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const FOLLOWS = /^(resources\.|cluster$)/; // may be wrong by what other fields say

const form = document.getElementById("job-form");
const touched = new Set();
let lookTimer = 0;
let saveTimer = 0;
let looking = null;
let saving = null;
let leaving = false;

if (form) {
  form.noValidate = true; // the gateway's own words stand beside the field; a browser's bubble would hide them
  for (const field of form.querySelectorAll("[data-field]")) {
    if (!field.querySelector("[data-fault]")?.hidden) touched.add(field.dataset.field);
  }
  form.addEventListener("input", (event) => changed(event.target));
  form.addEventListener("change", (event) => changed(event.target, true));
  form.addEventListener("focusout", (event) => left(event.target));
  form.addEventListener("click", (event) => event.target.closest("[data-back]") && goBack(event.target));
  form.addEventListener("submit", submit);
  addEventListener("pagehide", saveNow);
  addEventListener("pageshow", comeBack);
  bindFiles(form, (field) => {
    touched.add(field.dataset.field);
    soon();
  });
  for (const textarea of form.querySelectorAll("textarea[data-another]")) bindAnother(textarea);
  const faults = document.getElementById("faults");
  faults?.focus();
  faults?.addEventListener("click", goTo);
}

// --- following what is typed
function changed(element, isDone = false) {
  const field = element.closest("[data-field]");
  if (field && isDone) touched.add(field.dataset.field);
  soon();
}

function left(element) {
  const field = element.closest?.("[data-field]");
  if (!field || touched.has(field.dataset.field) || !wasFilled(field)) return;
  touched.add(field.dataset.field);
  soon();
}

function wasFilled(field) {
  return [...field.querySelectorAll("input, textarea, select")].some((one) => one.value !== one.defaultValue);
}

function soon() {
  clearTimeout(lookTimer);
  clearTimeout(saveTimer);
  lookTimer = setTimeout(look, LOOK_AFTER_MS);
  saveTimer = setTimeout(save, SAVE_AFTER_MS);
}

async function look() {
  looking?.abort();
  looking = new AbortController();
  try {
    const answer = await send(form.dataset.look, looking.signal);
    if (answer.ok && isJson(answer)) show(await answer.json());
  } catch {
    // The next change asks again, and submitting says what is wrong.
  }
}

function show(found) {
  for (const field of form.querySelectorAll("[data-field]")) {
    const name = field.dataset.field;
    const words = unreadable(field) || (isSending(field) ? saidOfSending(field) : found.faults[name]) || "";
    showFault(field, touched.has(name) || FOLLOWS.test(name) ? words : "");
  }
  for (const [name, words] of Object.entries(found.permits)) {
    const hint = document.getElementById(`${name.replace(".", "-")}-hint`);
    if (hint) hint.textContent = words;
  }
  for (const element of form.querySelectorAll("[data-gets]")) {
    const words = found.gets[element.dataset.gets];
    element.hidden = words === undefined;
    element.querySelector("[data-gets-words]").textContent = words ?? "";
  }
  showAmounts(found.gets);
  const script = document.querySelector("[data-script]");
  script.textContent = found.script ?? "";
  script.hidden = found.script === null;
  document.querySelector("[data-script-words]").textContent = found.script_words;
  showChanges(found.changes);
}

// What the server misses is on its way; only what was said at a submission that came too early stays.
function isSending(field) {
  return field.querySelector("[data-transfer]") !== null;
}

function saidOfSending(field) {
  return field.querySelector("[data-fault-words]")?.textContent === SENDING ? SENDING : "";
}

function showFault(field, words) {
  const fault = field.querySelector("[data-fault]");
  if (!fault) return;
  fault.hidden = words === "";
  fault.querySelector("[data-fault-words]").textContent = words;
  for (const control of field.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (words) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
  if (words) field.closest("[data-advanced]")?.setAttribute("open", "");
}

// What a date field holds that is no date is not sent by browsers: it would count as left empty. Numbers are text here,
// since a browser that knows only points makes 45 of 4,5.
function unreadable(field) {
  if (field.querySelector("input[type=date]")?.validity.badInput) return "This can't be read: write a date.";
  const number = field.querySelector("input[data-number]")?.value.trim();
  if (!number || NUMBER.test(number)) return "";
  return `“${number}” is no number: write decimals with a point, like 4.5, and nothing between thousands, like 10000.`;
}

function showAmounts(gets) {
  const all = form.querySelector("[data-gets-all]");
  if (!all || !Object.keys(gets).length) return;
  const parts = [];
  for (const field of form.querySelectorAll("[data-field^='resources.']")) {
    const label = field.querySelector("label").firstChild.textContent.trim();
    const words = gets[field.dataset.field];
    if (words !== undefined) parts.push(`${/^[A-Z]{2}/.test(label) ? label : label.toLowerCase()} ${words}`);
  }
  all.textContent = parts.join(", ");
}

// --- what differs from the earlier job
function showChanges(changes) {
  const list = form.querySelector("[data-changes]");
  if (!list) return;
  const byField = new Map(changes.map((one) => [one.field, one]));
  for (const field of form.querySelectorAll("[data-field]")) {
    const was = field.querySelector("[data-was]");
    if (was) was.hidden = !byField.has(field.dataset.field);
    field.classList.toggle("is-changed", byField.has(field.dataset.field));
  }
  list.replaceChildren(...changes.map((one) => {
    const item = document.createElement("li");
    item.append(made("strong", one.label), ": ", made("del", one.was), " → ", made("ins", one.now));
    return item;
  }));
  form.querySelector("[data-no-changes]").hidden = changes.length > 0;
}

function made(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

function goBack(button) {
  const field = button.closest("[data-field]");
  const chips = field.querySelector("[data-chips]");
  if (chips) chips.replaceChildren(field.querySelector("[data-earlier-files]").content.cloneNode(true));
  else fill(field, JSON.parse(field.dataset.earlier));
  touched.add(field.dataset.field);
  soon();
  field.querySelector("input:not([type=hidden]), select, textarea")?.focus();
}

function fill(field, texts) {
  const lines = texts.flatMap((text) => text.split("\n"));
  const areas = [...field.querySelectorAll("textarea")];
  for (const control of field.querySelectorAll("input:not([type=hidden]), select")) {
    if (control.type === "checkbox" || control.type === "radio") control.checked = lines.includes(control.value);
    else control.value = texts.at(-1) ?? "";
  }
  if (!field.querySelector("[data-another]")) areas.forEach((area) => (area.value = texts.join("\n")));
  else areas.forEach((area, place) => (area.value = texts[place] ?? ""));
}

// --- lists whose items have several lines: another box as soon as the last is used
function bindAnother(textarea) {
  textarea.addEventListener("input", () => {
    const next = textarea.cloneNode();
    next.value = "";
    delete textarea.dataset.another;
    textarea.after(next);
    bindAnother(next);
  }, { once: true });
}

// --- drafts
async function save() {
  clearTimeout(saveTimer);
  saveTimer = 0;
  if (leaving) return;
  const saved = form.querySelector("[data-saved]");
  saving = new AbortController();
  try {
    const answer = await send(form.dataset.draft, saving.signal);
    if (!isJson(answer)) throw new Error("not saved");
    const found = await answer.json();
    if (answer.ok) {
      const time = document.createElement("time");
      time.dateTime = new Date(found.saved_at * 1000).toISOString();
      saved.replaceChildren("Draft saved ", time);
      showTimes(saved);
    } else {
      saved.textContent = `Not saved as a draft: ${found.message}.`;
    }
  } catch {
    if (leaving) return;
    saved.textContent = "The draft could not be saved just now; keep this page open.";
    saveTimer = setTimeout(save, RETRY_SAVE_MS);
  }
}

function saveNow() {
  if (!saveTimer || leaving) return;
  clearTimeout(saveTimer);
  saveTimer = 0;
  send(form.dataset.draft, undefined, true).catch(() => {});
}

function send(url, signal, keepalive = false) {
  const headers = { "X-CSRF-Token": csrfToken(), Accept: "application/json" };
  const body = new URLSearchParams(new FormData(form));
  return fetch(url, { method: "POST", headers, body, signal, keepalive, redirect: "error" });
}

function isJson(answer) {
  return answer.headers.get("content-type")?.startsWith("application/json") ?? false;
}

// --- sending it
function submit(event) {
  const fields = [...form.querySelectorAll("[data-field]")];
  const bad = fields.find((field) => unreadable(field) || isSending(field));
  if (leaving || bad) event.preventDefault();
  if (leaving) return;
  if (bad) {
    touched.add(bad.dataset.field);
    showFault(bad, unreadable(bad) || SENDING);
    bad.querySelector("input:not([type=hidden]), select, textarea")?.focus();
    return;
  }
  leaving = true; // a second click sends nothing; and no draft may come after the job
  clearTimeout(lookTimer);
  clearTimeout(saveTimer);
  looking?.abort();
  saving?.abort();
  form.querySelector("[data-submit]").setAttribute("aria-disabled", "true");
}

// By the browser's back button, with everything still filled in.
function comeBack(event) {
  if (!event.persisted) return;
  leaving = false;
  form.querySelector("[data-submit]").removeAttribute("aria-disabled");
}

// A link of the list of faults: what it names may be folded away.
function goTo(event) {
  const link = event.target.closest("a[href^='#']");
  const target = link && document.getElementById(link.hash.slice(1));
  if (!target) return;
  event.preventDefault();
  target.closest("[data-advanced]")?.setAttribute("open", "");
  const control = target.matches("fieldset") ? target.querySelector("input:not([type=hidden]), textarea") : target;
  target.scrollIntoView({ block: "center" });
  (control ?? target).focus();
}
