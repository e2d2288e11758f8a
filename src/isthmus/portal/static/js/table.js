// Tables that sort by a click on a column's head; numbers by size, everything else by the reader's own alphabet.

const ALPHABET = new Intl.Collator(undefined, { numeric: true });

export function drawTable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head, column));
    head.replaceChildren(button);
  });
}

function sort(table, head, column) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const isNumber = head.classList.contains("number");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [row, row.cells[column]?.textContent ?? ""]);
  rows.sort(([, a], [, b]) => (isNumber ? compareNumbers(a, b) : ALPHABET.compare(a, b)) * (descending ? -1 : 1));
  body.append(...rows.map(([row]) => row));
}

function compareNumbers(a, b) {
  const [left, right] = [Number.parseFloat(a), Number.parseFloat(b)];
  if (Number.isNaN(left) || Number.isNaN(right)) return Number(Number.isNaN(left)) - Number(Number.isNaN(right));
  return left - right;
}
