// What every page has: times in the reader's zone, messages that close, theme, menu, confirmation, keyboard, CSRF.

const THEMES = ["", "light", "dark"];

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]')?.content ?? "";
}

// --- htmx: every request proves which session's page made it; questions are asked in a dialog of ours
document.addEventListener("htmx:config:request", (event) => {
  event.detail.ctx.request.headers["X-CSRF-Token"] = csrfToken();
});
document.addEventListener("htmx:confirm", (event) => {
  const { ctx, issueRequest, dropRequest } = event.detail;
  if (!ctx.confirm) return;
  event.preventDefault();
  confirmed(ctx.confirm, actOf(ctx.sourceElement)).then((yes) => (yes ? issueRequest() : dropRequest()));
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx?.sourceEvent?.type === "live") return; // the strip on top says that the connection is lost
  say("bad", "The gateway did not answer.", "Nothing was changed as far as this page knows. Try again.");
});

// Plain forms may ask too: <form data-confirm="…">
document.addEventListener("submit", async (event) => {
  const words = event.target.dataset?.confirm;
  if (!words || event.target.hasAttribute("hx-post")) return;
  event.preventDefault();
  if (await confirmed(words, actOf(event.target))) event.target.submit();
});

// What the dialog's button does, in the words of data-act or of the button that was pressed.
function actOf(element) {
  const button = element.matches("button") ? element : element.querySelector("button[type=submit], button:not([type])");
  return element.dataset.act ?? button?.textContent.trim() ?? "Go on";
}

export function confirmed(words, act) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("#confirm-words").textContent = words;
  dialog.querySelector("#confirm-act").textContent = act;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// --- messages
export function say(kind, title, words = "") {
  const message = document.createElement("div");
  message.className = `message ${kind}`;
  message.dataset.message = "";
  const text = document.createElement("div");
  const strong = document.createElement("strong");
  strong.textContent = title;
  text.append(strong, ` ${words}`);
  const close = document.createElement("button");
  close.className = "button quiet";
  close.type = "button";
  close.dataset.closeMessage = "";
  close.setAttribute("aria-label", "Close this message");
  close.textContent = "×";
  message.append(text, close);
  document.getElementById("messages").append(message);
}
document.addEventListener("click", (event) => {
  event.target.closest?.("[data-close-message]")?.closest("[data-message]")?.remove();
});

// --- times: shown in the reader's zone, the exact time on hover
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const TODAY = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const SHORT_SECONDS = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const TODAY_SECONDS = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export function showTimes(root = document) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("time[datetime]:not([data-shown])")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    const isToday = at.toDateString() === today;
    const [short, long] = "seconds" in element.dataset ? [TODAY_SECONDS, SHORT_SECONDS] : [TODAY, SHORT];
    element.textContent = (isToday ? short : long).format(at);
    element.title = `${EXACT.format(at)} (${element.dateTime})`;
    element.dataset.shown = "";
  }
}
showTimes();
document.addEventListener("htmx:after:swap", () => showTimes());

// --- theme
document.querySelector("[data-theme-button]")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(dark ? "light" : "dark");
});

export function setTheme(theme) {
  if (!THEMES.includes(theme)) return;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `isthmus_theme=${theme}; Path=/; Max-Age=${theme ? 31536000 : 0}; SameSite=Lax${secure}`;
}

// --- menus
const menuButton = document.querySelector("[data-menu]");
menuButton?.addEventListener("click", () => {
  const open = document.getElementById("menu").classList.toggle("is-open");
  menuButton.setAttribute("aria-expanded", String(open));
});
document.addEventListener("click", (event) => {
  for (const dropdown of document.querySelectorAll("details.dropdown[open]")) {
    if (!dropdown.contains(event.target)) dropdown.open = false;
  }
});

// --- keyboard
const PLACES = { h: "/", p: "/applications", j: "/jobs", c: "/clusters", a: "/account" };
let awaitsPlace = false;

document.querySelector("[data-help-button]")?.addEventListener("click", () => showShortcuts());

function showShortcuts() {
  document.getElementById("shortcuts")?.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const dropdown of document.querySelectorAll("details.dropdown[open]")) {
      dropdown.open = false;
      dropdown.querySelector("summary").focus();
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (awaitsPlace) {
    awaitsPlace = false;
    if (PLACES[event.key]) location.assign(PLACES[event.key]);
  } else if (event.key === "g" && document.getElementById("menu")) {
    awaitsPlace = true;
    setTimeout(() => (awaitsPlace = false), 1500);
  } else if (event.key === "?") {
    showShortcuts();
  } else if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

export function isTyping(element) {
  return element?.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]") != null;
}

// --- copying: <button data-copy="text"> or data-copy-from="#id"
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-from]");
  if (!button) return;
  const text = button.dataset.copy ?? document.querySelector(button.dataset.copyFrom)?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text);
    say("ok", "Copied.");
  } catch {
    say("bad", "The browser did not permit copying.", "Select the text and copy it by hand.");
  }
});
