// Files of a form: chosen, dropped, taken from earlier jobs or from what was sent before. A file is sent as soon as it is
// chosen; the form then holds its id, so that nothing is sent twice when the form comes back.

import { csrfToken, showTimes } from "./portal.js";

const MIB = 1024 * 1024;
const SEARCH_AFTER_MS = 200;

let changed = () => {};

export function bindFiles(form, onChange) {
  changed = onChange;
  form.addEventListener("click", (event) => {
    const taken = event.target.closest("[data-remove]");
    if (taken) remove(taken);
    const from = event.target.closest("[data-from]");
    if (from) openDialog(from.closest("[data-drop]"), from.dataset.from);
  });
  form.addEventListener("change", (event) => {
    if (!event.target.matches("[data-pick]")) return;
    take(event.target.closest("[data-drop]"), [...event.target.files]);
    event.target.value = "";
  });
  for (const drop of form.querySelectorAll("[data-drop]")) bindDrop(drop);
}

function remove(button) {
  const field = button.closest("[data-field]");
  button.closest("[data-chip]").remove();
  field.querySelector("[data-pick]").focus();
  changed(field);
}

// --- dropping
function bindDrop(drop) {
  const field = drop.closest("[data-field]");
  field.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    field.classList.add("is-over");
  });
  field.addEventListener("dragleave", (event) => {
    if (!field.contains(event.relatedTarget)) field.classList.remove("is-over");
  });
  field.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    field.classList.remove("is-over");
    take(drop, [...event.dataTransfer.files]);
  });
}
// A file dropped beside a field would replace the page.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
}

function take(drop, files) {
  const most = Number(drop.dataset.most);
  for (const file of most === 1 ? files.slice(0, 1) : files) {
    const refusal = refused(drop, file);
    if (refusal) showEnded(transfer(drop, file), refusal);
    else send(drop, file);
  }
}

function refused(drop, file) {
  const endings = drop.dataset.endings.split(",").filter(Boolean);
  if (endings.length && !endings.some((ending) => file.name.toLowerCase().endsWith(ending))) {
    return `must end in ${endings.join(" or ")}`;
  }
  const most = Number(drop.dataset.maxMib);
  return file.size > most * MIB ? `has ${(file.size / MIB).toFixed(1)} MiB; at most ${most} MiB are permitted` : "";
}

// --- sending: XMLHttpRequest, since fetch does not tell how far it is
function send(drop, file) {
  const item = transfer(drop, file);
  const request = new XMLHttpRequest();
  const url = `/uploads?name=${encodeURIComponent(file.name)}&field=${encodeURIComponent(drop.dataset.name)}`;
  const progress = item.querySelector("progress");
  request.open("POST", url);
  request.setRequestHeader("X-CSRF-Token", csrfToken());
  request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable && event.total) progress.value = event.loaded / event.total;
  });
  request.addEventListener("load", () => {
    if (request.status === 201) arrived(drop, item, request.responseText);
    else showEnded(item, said(request), () => send(drop, file));
  });
  request.addEventListener("error", () => {
    showEnded(item, "did not arrive: the gateway can't be reached just now", () => send(drop, file));
  });
  item.querySelector("[data-cancel]").addEventListener("click", () => {
    request.abort();
    end(item);
  });
  request.send(file);
}

function said(request) {
  try {
    return JSON.parse(request.responseText).message;
  } catch {
    return "could not be taken: reload the page and try again";
  }
}

function transfer(drop, file) {
  const item = document.createElement("li");
  item.className = "transfer";
  item.dataset.transfer = "";
  const name = document.createElement("span");
  name.className = "chip-name";
  name.textContent = file.name;
  const progress = document.createElement("progress");
  progress.max = 1;
  progress.value = 0;
  progress.setAttribute("aria-label", `Sending ${file.name}`);
  const cancel = document.createElement("button");
  cancel.type = "button";
  cancel.className = "button quiet";
  cancel.dataset.cancel = "";
  cancel.textContent = "Cancel";
  item.append(name, progress, cancel);
  drop.parentElement.querySelector("[data-transfers]").append(item);
  return item;
}

function arrived(drop, item, html) {
  end(item, false);
  add(drop, html);
}

function end(item, isLast = true) {
  const field = item.closest("[data-field]");
  item.remove();
  if (isLast) field.querySelector("[data-pick]").focus();
}

function showEnded(item, words, again) {
  delete item.dataset.transfer;
  item.querySelector("progress").remove();
  const said = document.createElement("span");
  said.className = "field-error";
  said.textContent = words;
  const close = item.querySelector("[data-cancel]");
  close.textContent = "Close";
  const fresh = close.cloneNode(true); // without its listeners
  close.replaceWith(fresh);
  fresh.before(said);
  fresh.addEventListener("click", () => end(item));
  if (!again) return;
  const retry = fresh.cloneNode(true);
  retry.textContent = "Try again";
  fresh.before(retry);
  retry.addEventListener("click", () => {
    item.remove();
    again();
  });
}

// The gateway draws a chosen file, with everything from people escaped.
function add(drop, html) {
  const chips = drop.parentElement.querySelector("[data-chips]");
  const template = document.createElement("template");
  template.innerHTML = html;
  if (Number(drop.dataset.most) === 1) chips.replaceChildren(template.content);
  else chips.append(template.content);
  changed(drop.closest("[data-field]"));
}

// --- from earlier jobs, or from what was sent before
const dialog = document.getElementById("files-dialog");
let asking = null;
let asked = null;
let searchTimer = 0;

function openDialog(drop, source) {
  asked = { drop, source };
  dialog.querySelector("#files-title").textContent =
    `${drop.dataset.label}: ${source === "mine" ? "files you sent before" : "from the outputs of your jobs"}`;
  dialog.querySelector("[data-files-search]").value = "";
  dialog.querySelector("[data-offers]").replaceChildren();
  dialog.showModal();
  offer("");
}

async function offer(cursor) {
  asking?.abort();
  asking = new AbortController();
  const { drop, source } = asked;
  const parameters = new URLSearchParams({
    endings: drop.dataset.endings,
    types: drop.dataset.types,
    text: dialog.querySelector("[data-files-search]").value,
    cursor,
  });
  const place = dialog.querySelector("[data-offers]");
  try {
    const answer = await fetch(`/uploads/part/${source}?${parameters}`, { signal: asking.signal, redirect: "error" });
    if (!answer.ok) throw new Error(answer.statusText);
    const template = document.createElement("template");
    template.innerHTML = await answer.text();
    place.querySelector("[data-more]")?.closest("p").remove();
    if (cursor) place.append(template.content);
    else place.replaceChildren(template.content);
    showTimes(place);
  } catch (fault) {
    if (fault.name === "AbortError") return;
    place.textContent = "The gateway did not answer. Close this and try again.";
  }
}

dialog?.addEventListener("input", (event) => {
  if (!event.target.matches("[data-files-search]")) return;
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => offer(""), SEARCH_AFTER_MS);
});

dialog?.addEventListener("click", async (event) => {
  const more = event.target.closest("[data-more]");
  if (more) offer(more.dataset.more);
  const chosen = event.target.closest("[data-offer]");
  if (!chosen) return;
  const { drop } = asked;
  const parameters = new URLSearchParams({ field: drop.dataset.name, file: chosen.dataset.offer });
  try {
    const answer = await fetch(`/uploads/part/chip?${parameters}`, { redirect: "error" });
    if (!answer.ok) throw new Error(answer.statusText);
    add(drop, await answer.text());
    dialog.close();
  } catch {
    dialog.querySelector("[data-offers]").prepend("The gateway did not answer. Try again.");
  }
});
