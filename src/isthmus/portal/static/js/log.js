// The live log. The page holds a window of whole pieces, each with the bytes it stands for:
//
//     … earlier on the gateway │ piece │ piece │ piece │ what comes, by isthmus:log
//
// At the front pieces are fetched when one scrolls there, and dropped when too many lines follow; when one reads far up,
// they are dropped at the end instead, and "to the end" fetches it anew. A log is never interpreted: what can't be seen
// is shown as a sign.

const MAX_LINES = 5000;
const LONG_LINE = 2000;
const FLUSH_MS = 50;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const BYTES = new TextEncoder();

const section = document.getElementById("log");

export function visible(line) {
  return line.replace(/\r$/, "").replace(CONTROL, (sign) => {
    const code = sign.codePointAt(0);
    if (code < 32) return String.fromCodePoint(0x2400 + code);
    return code === 0x7f ? "␡" : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

class Log {
  constructor(root) {
    this.root = root;
    this.lines = root.querySelector("[data-log-lines]");
    this.base = root.dataset.base;
    this.stream = root.dataset.stream;
    this.isChosen = new URLSearchParams(location.search).has("log");
    this.rest = new WeakMap(); // of long lines, what isn't shown
    this.follows = true;
    this.queue = [];
    const { offset, nextOffset, firstLine } = root.dataset;
    this.begin(Number(offset), Number(nextOffset), firstLine ? Number(firstLine) : null);
    this.isComplete = "complete" in root.dataset;
    this.isOpen = "open" in root.dataset; // the last line may go on
    const first = { offset: Number(offset), elements: [...this.lines.children] };
    for (const element of first.elements) this.fold(element, element.textContent);
    this.pieces = first.elements.length ? [first] : [];
    if (this.number !== null) this.number += first.elements.length;
    this.listen();
    this.show();
  }

  begin(offset, nextOffset, firstLine) {
    this.first = offset;
    this.next = nextOffset;
    this.number = firstLine; // of the next line that is made; null where nobody counted
    this.isDetached = false; // the window's end is not the log's end
    this.isOpen = false;
    this.pieces = [];
  }

  // --- what comes
  take({ stream, offset, next_offset: next, text, complete }) {
    if (stream !== this.stream || this.isDetached) return;
    if (next > this.next || complete) this.queue.push({ offset, next, text, complete });
    this.timer ||= setTimeout(() => this.flush(), FLUSH_MS);
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = 0;
    for (const piece of this.newest(this.queue.splice(0))) this.append(piece);
    while (this.pieces.length > 1 && this.count() - this.pieces[0].elements.length >= MAX_LINES) this.dropFirst();
    this.show();
    this.search.refresh();
    if (this.follows) this.toEnd();
  }

  // Of a flood only what will be shown is made into lines; the rest is counted, and can be had from the gateway.
  newest(pieces) {
    let count = 0;
    let from = pieces.length;
    while (from > 0 && count < MAX_LINES) count += ends(pieces[--from].text);
    if (from === 0 || !this.follows) return pieces;
    const piece = { ...pieces[from] };
    const cut = piece.text.indexOf("\n") + 1;
    const left = pieces.slice(0, from).reduce((sum, one) => sum + ends(one.text), cut ? 1 : 0);
    const number = this.number === null ? null : this.number - (this.isOpen ? 1 : 0) + left;
    piece.offset += BYTES.encode(piece.text.slice(0, cut)).length;
    piece.text = piece.text.slice(cut);
    this.lines.replaceChildren();
    this.begin(piece.offset, piece.offset, number);
    return [piece, ...pieces.slice(from + 1)];
  }

  append({ offset, next, text, complete }) {
    if (offset > this.next) this.notice(`${(offset - this.next).toLocaleString()} bytes are missing here: download the whole log`);
    if (offset < this.next) text = new TextDecoder().decode(BYTES.encode(text).slice(this.next - offset));
    const piece = { offset: this.next, elements: [] };
    const parts = text.split("\n");
    const goesOn = this.isOpen ? this.lines.lastElementChild : null;
    if (goesOn && parts.length) {
      const part = parts.shift();
      this.fold(goesOn, (this.rest.get(goesOn)?.whole ?? goesOn.textContent) + visible(part));
      piece.offset += BYTES.encode(part).length + (parts.length ? 1 : 0); // where its own first line begins
    }
    if (parts.length || !goesOn) this.isOpen = parts.at(-1) !== "";
    if (parts.at(-1) === "") parts.pop();
    for (const part of parts) piece.elements.push(this.line(visible(part), this.number === null ? null : this.number++));
    this.lines.append(...piece.elements);
    if (piece.elements.length) this.pieces.push(piece);
    this.next = Math.max(next, this.next);
    this.isComplete = complete;
    tellLast(this.lines.lastElementChild?.textContent ?? "");
  }

  line(text, number) {
    const element = document.createElement("div");
    element.className = "log-line";
    if (number !== null) element.dataset.number = String(number);
    this.fold(element, text);
    return element;
  }

  // Of a long line the beginning is shown, and a button for the rest.
  fold(element, text) {
    if (text.length <= LONG_LINE) {
      element.textContent = text;
      return;
    }
    if (!this.rest.has(element)) this.rest.set(element, { isOpen: false });
    const kept = this.rest.get(element);
    kept.whole = text;
    if (kept.isOpen) {
      element.textContent = text;
      return;
    }
    const more = document.createElement("button");
    more.type = "button";
    more.className = "as-link";
    more.textContent = `… ${(text.length - LONG_LINE).toLocaleString()} more characters`;
    more.addEventListener("click", () => {
      kept.isOpen = true;
      element.textContent = kept.whole;
    });
    element.replaceChildren(text.slice(0, LONG_LINE), more);
  }

  notice(words) {
    const element = document.createElement("div");
    element.className = "log-notice";
    element.textContent = words;
    this.lines.append(element);
    this.pieces.push({ offset: this.next, elements: [element] });
    this.isOpen = false;
  }

  count() {
    return this.pieces.reduce((sum, piece) => sum + piece.elements.length, 0);
  }

  dropFirst() {
    for (const element of this.pieces.shift().elements) element.remove();
    this.first = this.pieces[0]?.offset ?? this.next;
  }

  // --- what was before
  async earlier() {
    if (this.isFetching || this.first === 0) return;
    this.isFetching = true;
    try {
      const found = await this.ask(`?before=${this.first}`);
      if (!found.text) {
        this.first = 0;
        return;
      }
      const parts = found.text.replace(/\n$/, "").split("\n");
      const elements = parts.map((part, place) => this.line(visible(part), found.first_line === null ? null : found.first_line + place));
      const height = this.lines.scrollHeight;
      this.lines.prepend(...elements);
      this.lines.scrollTop += this.lines.scrollHeight - height;
      this.pieces.unshift({ offset: found.offset, elements });
      this.first = found.offset;
      this.dropLast();
    } finally {
      this.isFetching = false;
      this.show();
      this.search.refresh();
    }
  }

  dropLast() {
    while (this.pieces.length > 1 && this.count() - this.pieces.at(-1).elements.length >= MAX_LINES) {
      for (const element of this.pieces.pop().elements) element.remove();
      this.isDetached = true;
    }
  }

  async ask(query) {
    const answer = await fetch(`${this.base}/log/${this.stream}${query}`, { credentials: "same-origin", headers: { "HX-Request": "true" } });
    if (!answer.ok) throw new Error(`the gateway answered ${answer.status}`);
    return answer.json();
  }

  // --- another log, or the end of this one anew
  async open(stream) {
    this.stream = stream;
    const found = await this.ask("");
    this.lines.replaceChildren();
    this.queue = [];
    this.begin(found.offset, found.offset, found.first_line);
    this.append({ offset: found.offset, next: found.next_offset, text: found.text, complete: found.complete });
    this.follows = true;
    this.followOn();
    this.flush();
  }

  followOn() {
    if (this.isComplete) return;
    const { liveAddress } = this.root.dataset;
    window.isthmusLive?.follow(`${liveAddress}&log=${this.stream}&from=${this.next}`);
  }

  // A new attempt writes a log of its own, from its first byte.
  startAnew() {
    this.flush();
    if (this.lines.childElementCount) this.notice("A new attempt begins here; its log starts from the beginning");
    this.next = 0;
    this.number = 1;
    this.first = 0;
    this.isComplete = false;
    this.followOn();
  }

  toEnd() {
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  // --- how it is shown
  listen() {
    const at = (name) => this.root.querySelector(`[data-log-${name}]`);
    at("tools").hidden = false;
    at("more").hidden = false;
    this.ui = { earlier: at("earlier"), words: at("earlier-words"), end: at("end"), state: at("state"), follow: at("follow") };
    this.search = new Search(this, at);
    at("more").addEventListener("click", () => this.earlier().catch(() => this.failed()));
    at("wrap").addEventListener("change", (event) => this.lines.classList.toggle("unwrapped", !event.target.checked));
    at("end").addEventListener("click", () => this.goToEnd());
    this.ui.follow.addEventListener("change", () => (this.ui.follow.checked ? this.goToEnd() : this.setFollows(false)));
    at("tabs").addEventListener("click", (event) => this.switchTo(event));
    let top = 0;
    this.lines.addEventListener("scroll", () => {
      const isUp = this.lines.scrollTop < top;
      top = this.lines.scrollTop;
      const isAtEnd = this.lines.scrollHeight - top - this.lines.clientHeight < 12;
      if (isAtEnd && !this.isDetached) this.setFollows(true);
      else if (isUp) this.setFollows(false);
      if (isUp && top < 200 && !this.search.isJumping) this.earlier().catch(() => this.failed());
    });
    requestAnimationFrame(() => this.toEnd());
  }

  setFollows(follows) {
    this.follows = follows;
    this.show();
  }

  goToEnd() {
    this.setFollows(true);
    if (this.isDetached) this.open(this.stream).catch(() => this.failed());
    else this.toEnd();
  }

  switchTo(event) {
    const tab = event.target.closest("a[data-stream]");
    if (!tab || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.isChosen = true;
    this.turnTo(tab);
    history.replaceState(null, "", `?log=${tab.dataset.stream}`);
  }

  // A program that failed while one looked on: what it complained of, unless the reader has chosen what to read.
  showComplaints() {
    if (this.isChosen || this.stream === "stderr" || !document.querySelector("#why .last-words")) return;
    this.turnTo(this.root.querySelector('a[data-stream="stderr"]'));
  }

  turnTo(tab) {
    for (const other of tab.parentElement.children) other.removeAttribute("aria-current");
    tab.setAttribute("aria-current", "true");
    const { stream } = tab.dataset;
    this.lines.setAttribute("aria-label", `Lines of ${stream}`);
    this.root.querySelector("[data-log-download]").href = `${this.base}/log/${stream}/file`;
    this.open(stream).catch(() => this.failed());
  }

  failed() {
    this.ui.state.textContent = "The gateway did not answer. Nothing is lost: try again.";
  }

  show() {
    const { earlier, words, end, state, follow } = this.ui;
    earlier.hidden = this.first === 0;
    const hasNumbers = this.lines.querySelector(".log-line")?.dataset.number !== undefined;
    words.textContent = hasNumbers || !this.count() ? "Only a part is shown." : "Only a part is shown, without line numbers: so much is before it.";
    end.hidden = this.follows && !this.isDetached;
    follow.checked = this.follows;
    if (!this.count()) state.textContent = this.isComplete ? `The program wrote nothing to ${this.stream}.` : "Nothing was written yet.";
    else if (this.isDetached) state.textContent = "More follows at the end.";
    else state.textContent = this.isComplete ? "This is the end." : "The program may write more.";
  }
}

function ends(text) {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

class Search {
  constructor(log, at) {
    this.log = log;
    this.input = at("search");
    this.counter = at("count");
    this.buttons = [at("previous"), at("next")];
    this.ranges = [];
    this.at = -1;
    this.input.addEventListener("input", () => this.run());
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.go(event.shiftKey ? -1 : 1);
      }
    });
    this.buttons[0].addEventListener("click", () => this.go(-1));
    this.buttons[1].addEventListener("click", () => this.go(1));
  }

  refresh() {
    if (!this.input.value) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(false), 300);
  }

  run(isNew = true) {
    const wanted = this.input.value.toLowerCase();
    const present = this.ranges[this.at];
    this.ranges = wanted ? [...this.log.lines.children].flatMap((element) => found(element, wanted)) : [];
    this.at = isNew || !present ? -1 : this.ranges.findIndex((one) => one.startContainer === present.startContainer && one.startOffset === present.startOffset);
    for (const button of this.buttons) button.disabled = !this.ranges.length;
    globalThis.CSS?.highlights?.set("log-found", new Highlight(...this.ranges));
    if (isNew && this.ranges.length) this.go(1);
    else this.tell();
  }

  go(step) {
    if (!this.ranges.length) return;
    this.at = (this.at + step + this.ranges.length) % this.ranges.length;
    const range = this.ranges[this.at];
    globalThis.CSS?.highlights?.set("log-current", new Highlight(range));
    this.log.setFollows(false);
    const line = range.startContainer.parentElement;
    this.isJumping = true; // a jump is no wish for earlier lines
    this.log.lines.scrollTop = line.offsetTop - this.log.lines.clientHeight / 2;
    setTimeout(() => (this.isJumping = false), 200);
    this.tell();
  }

  tell() {
    const { value } = this.input;
    const where = this.log.first > 0 || this.log.isDetached ? " in the lines shown" : "";
    if (!value) {
      this.counter.textContent = "";
      globalThis.CSS?.highlights?.delete("log-current");
    } else if (!this.ranges.length) this.counter.textContent = `Not found${where}`;
    else this.counter.textContent = this.at < 0 ? `${this.ranges.length} found${where}` : `${this.at + 1} of ${this.ranges.length}${where}`;
  }
}

function found(element, wanted) {
  const node = element.firstChild;
  if (!element.classList.contains("log-line") || node?.nodeType !== Node.TEXT_NODE) return [];
  const text = node.data.toLowerCase();
  if (text.length !== node.data.length) return []; // a letter whose small form is longer: places would not fit
  const ranges = [];
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
    const range = new Range();
    range.setStart(node, at);
    range.setEnd(node, at + wanted.length);
    ranges.push(range);
  }
  return ranges;
}

function tellLast(text) {
  const place = document.getElementById("last-line");
  if (!place || !text.trim()) return;
  place.hidden = false;
  place.textContent = text.slice(0, 300);
}

if (section?.dataset.base) {
  const log = new Log(section);
  document.addEventListener("htmx:after:swap", () => log.showComplaints());
  document.addEventListener("isthmus:log", (event) => log.take(event.detail));
  document.addEventListener("isthmus:job", (event) => {
    const { job, kind, body } = event.detail;
    if (job === section.dataset.job && kind === "state" && body.to === "STAGING_IN") log.startAnew();
  });
}
