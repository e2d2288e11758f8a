// Lists of flat objects as tables that sort: what JSON and GeoJSON outputs hold most often.

import { drawTable } from "./table.js";

const MAX_ROWS = 500;
const MAX_COLUMNS = 40;

const isFlat = (value) => value === null || typeof value !== "object";
const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && Object.values(value).every(isFlat);
const isRecords = (value) => Array.isArray(value) && value.length > 0 && value.every(isRecord);

// The lists in a JSON value that tables can show, each with its name: the value itself, or members of it.
export function recordsIn(value) {
  if (value?.type === "FeatureCollection" && Array.isArray(value.features)) {
    const properties = value.features.map((feature) => feature?.properties ?? {});
    return isRecords(properties) ? [["features", properties]] : [];
  }
  if (isRecords(value)) return [["", value]];
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [];
  return Object.entries(value).filter(([, member]) => isRecords(member));
}

// The records in a place that scrolls by itself, each as a row; a word below where not all are shown.
export function tableOf(records, label) {
  const columns = columnsOf(records);
  const shown = columns.slice(0, MAX_COLUMNS);
  const table = made("table", "table data-table");
  const head = table.createTHead().insertRow();
  const rows = records.slice(0, MAX_ROWS);
  const areNumbers = shown.map((column) => rows.every((row) => ["number", "undefined"].includes(typeof (row[column] ?? undefined))));
  shown.forEach((column, place) => {
    const cell = made("th", areNumbers[place] ? "number" : "", column);
    cell.scope = "col";
    head.append(cell);
  });
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    shown.forEach((column, place) => line.append(made("td", areNumbers[place] ? "number" : "", words(row[column]))));
  }
  drawTable(table);
  const wrap = made("div", "table-wrap");
  wrap.tabIndex = 0;
  wrap.setAttribute("role", "region");
  wrap.setAttribute("aria-label", label);
  wrap.append(table);
  const left = [];
  if (records.length > rows.length) left.push(`the first ${rows.length} of ${records.length.toLocaleString()} rows`);
  if (columns.length > shown.length) left.push(`the first ${shown.length} of ${columns.length} columns`);
  const found = made("div", "stack-s");
  found.append(wrap, ...(left.length ? [made("p", "muted", `These are ${left.join(", ")}: download the file for all.`)] : []));
  return found;
}

// Every member's name, in the order of their first coming.
function columnsOf(records) {
  const names = new Set();
  for (const record of records) for (const name of Object.keys(record)) names.add(name);
  return [...names];
}

function words(value) {
  return value === null || value === undefined ? "" : String(value);
}

function made(name, className, text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
