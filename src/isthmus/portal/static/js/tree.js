// JSON: its lists of flat objects as tables, and all of it as a tree that unfolds; a branch is made when it is opened, so that large files cost nothing before.

import { recordsIn, tableOf } from "./records.js";

const AT_ONCE = 100;
const LONG_TEXT = 500;

export async function draw(place, text) {
  let form;
  try {
    form = JSON.parse(text);
  } catch (fault) {
    throw new Error(`it is not JSON (${fault.message})`);
  }
  const tables = recordsIn(form);
  if (!tables.length) {
    place.replaceChildren(treeOf(form));
    return;
  }
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "All of it, as a tree";
  details.append(summary);
  details.addEventListener("toggle", () => details.append(treeOf(form)), { once: true });
  place.replaceChildren(...tables.flatMap(([name, records]) => titled(name, tableOf(records, name || place.dataset.label))), details);
}

function titled(name, table) {
  if (!name) return [table];
  const title = document.createElement("h4");
  title.textContent = name;
  return [title, table];
}

function treeOf(form) {
  const tree = document.createElement("div");
  tree.className = "tree";
  tree.append(branch("", form, "", true));
  return tree;
}

function branch(key, value, path, isOpen = false) {
  if (value === null || typeof value !== "object") return leaf(key, value, path);
  const members = Array.isArray(value) ? value.map((one, place) => [String(place), one]) : Object.entries(value);
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.append(...named(key), sized(value, members.length));
  const list = document.createElement("ul");
  details.append(summary, copier(path), list); // not in the summary: a button in a button can't be reached by all
  const fill = () => extend(list, members, 0, path, Array.isArray(value));
  if (isOpen) {
    details.open = true;
    fill();
  } else details.addEventListener("toggle", fill, { once: true });
  if (!path) return details;
  const whole = document.createElement("div"); // a button may not stand in a summary
  whole.className = "branch";
  whole.append(details, copier(path));
  return whole;
}

function extend(list, members, from, path, isArray) {
  for (const [key, value] of members.slice(from, from + AT_ONCE)) {
    const item = document.createElement("li");
    item.append(branch(key, value, wayTo(path, key, isArray)));
    list.append(item);
  }
  const left = members.length - from - AT_ONCE;
  if (left <= 0) return;
  const item = document.createElement("li");
  const more = document.createElement("button");
  more.type = "button";
  more.className = "button";
  more.textContent = `${Math.min(left, AT_ONCE)} more of ${left}`;
  more.addEventListener("click", () => {
    item.remove();
    extend(list, members, from + AT_ONCE, path, isArray);
    list.children[from + AT_ONCE]?.querySelector("summary, button")?.focus();
  });
  item.append(more);
  list.append(item);
}

function wayTo(path, key, isArray) {
  if (isArray) return `${path}[${key}]`;
  if (!/^[A-Za-z_]\w*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path ? `${path}.${key}` : key;
}

function leaf(key, value, path) {
  const line = document.createElement("span");
  line.className = "leaf";
  const shown = document.createElement("span");
  shown.className = value === null ? "of-null" : `of-${typeof value}`;
  const text = JSON.stringify(value);
  shown.textContent = text.length > LONG_TEXT ? `${text.slice(0, LONG_TEXT)}… (${text.length.toLocaleString()} characters)` : text;
  line.append(...named(key), shown, copier(path));
  return line;
}

function named(key) {
  if (key === "") return [];
  const name = document.createElement("span");
  name.className = "key";
  name.textContent = key;
  return [name, ": "];
}

function sized(value, count) {
  const words = document.createElement("span");
  words.className = "muted";
  const one = Array.isArray(value) ? "item" : "member";
  words.textContent = `${Array.isArray(value) ? "[" : "{"}${count} ${one}${count === 1 ? "" : "s"}${Array.isArray(value) ? "]" : "}"}`;
  return words;
}

function copier(path) {
  if (!path) return "";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy-path";
  button.dataset.copy = path;
  button.textContent = "copy path";
  button.setAttribute("aria-label", `Copy the path ${path}`);
  return button;
}
