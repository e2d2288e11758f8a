// One connection a page to /live: job events and log pieces, told to whoever listens on the document.
//
//   isthmus:job   {id, kind, at, body}                        isthmus:log   {stream, offset, next_offset, text, complete}
//   isthmus:live  {connected}
//
// Elements with data-live-job="ID", "ID ID …" or "*" get the event `live` when such a job changed, soon but not too often, and once
// after a lost connection was mended. A connection is asked for anew from the last event and log byte that came.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const SILENT_MS = 40000; // the gateway says something every 15 s
const STRIP_AFTER_MS = 1500;
const FULL_PAUSE_MS = 30000;
const FULL =
  "Too many pages are kept up to date at once, so this one is not: close another, or reload this one to see how " +
  "things stand. It tries again by itself.";
const HIDDEN_MS = 5000; // a browser keeps six connections to a site: hidden pages give theirs back

let source = null;
let address = null;
let lastEvent = "";
let logOffset = null;
let pauseMs = FIRST_PAUSE_MS;
let silence = 0;
let stripTimer = 0;
let wasLost = true; // what happened between the page's making and its first connection is asked for as well
let retryTimer = 0;
let hiddenTimer = 0;
const lostWords = document.getElementById("live-lost")?.textContent;
const SOON_MS = 150; // changes often come in twos and threes
const SELDOM_MS = 700; // a part that changes all the time is fetched no more often than this
const waiting = new WeakMap(); // element -> when it gets `live` next, or got it last

function connect() {
  clearTimeout(retryTimer);
  source?.close();
  const url = new URL(address, location.origin);
  if (lastEvent) url.searchParams.set("after", lastEvent);
  if (logOffset !== null) url.searchParams.set("from", String(logOffset));
  source = new EventSource(url);
  source.addEventListener("open", heard);
  source.addEventListener("open", opened);
  source.addEventListener("pulse", heard);
  source.addEventListener("job", job);
  source.addEventListener("log", log);
  source.addEventListener("error", failed);
  listen();
}

function heard() {
  pauseMs = FIRST_PAUSE_MS;
  listen();
}

function listen() {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENT_MS);
}

// The gateway's own first event, `open`, holds the position that the stream begins after.
function opened(event) {
  if (!(event instanceof MessageEvent)) return;
  lastEvent ||= JSON.parse(event.data).after;
  clearTimeout(stripTimer);
  stripTimer = 0;
  document.getElementById("live-lost").hidden = true;
  tell("isthmus:live", { connected: true });
  if (wasLost) {
    for (const element of document.querySelectorAll("[data-live-job]")) wake(element);
    wasLost = false;
  }
}

function lost() {
  source?.close();
  clearTimeout(silence);
  wasLost = true;
  stripTimer ||= setTimeout(say, STRIP_AFTER_MS, lostWords);
  retryIn(pauseMs);
  pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
}

function retryIn(ms) {
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, ms * (0.75 + Math.random() / 2));
}

function say(words) {
  const strip = document.getElementById("live-lost");
  strip.textContent = words;
  strip.hidden = false;
  tell("isthmus:live", { connected: false });
}

// An EventSource that was refused does not tell why, so that is asked for.
async function failed() {
  const asked = source;
  const refused = asked.readyState === EventSource.CLOSED;
  lost();
  if (!refused || (await statusOf(asked.url)) !== 429 || asked !== source || document.hidden) return;
  clearTimeout(stripTimer);
  stripTimer = 0;
  say(FULL);
  retryIn(FULL_PAUSE_MS);
}

async function statusOf(url) {
  const enough = new AbortController();
  try {
    return (await fetch(url, { signal: enough.signal })).status;
  } catch {
    return 0;
  } finally {
    enough.abort();
  }
}

// Nothing is lost meanwhile: the next connection begins after the last event and byte.
function rest() {
  clearTimeout(silence);
  clearTimeout(retryTimer);
  clearTimeout(stripTimer);
  stripTimer = 0;
  source?.close();
}

function job(event) {
  heard();
  if (event.lastEventId) lastEvent = event.lastEventId;
  const detail = JSON.parse(event.data);
  tell("isthmus:job", detail);
  const id = detail.job ?? detail.id;
  for (const element of document.querySelectorAll("[data-live-job]")) {
    if (element.dataset.liveJob === "*" || element.dataset.liveJob.split(" ").includes(id)) wake(element);
  }
}

function log(event) {
  heard();
  const detail = JSON.parse(event.data);
  logOffset = detail.next_offset;
  tell("isthmus:log", detail);
}

function wake(element) {
  const now = performance.now();
  const last = waiting.get(element) ?? -SELDOM_MS;
  if (last > now) return; // it is about to be told
  const at = Math.max(now + SOON_MS, last + SELDOM_MS);
  waiting.set(element, at);
  setTimeout(() => element.dispatchEvent(new CustomEvent("live")), at - now);
}

function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

// Another stream from now on, e.g. of another log: the address may name the byte to begin at as `from`.
export function follow(to) {
  address = to;
  const from = new URL(to, location.origin).searchParams.get("from");
  logOffset = from === null ? null : Number(from);
  connect();
}
window.isthmusLive = { follow };

if (document.body.dataset.live) {
  follow(document.body.dataset.live);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(rest, HIDDEN_MS);
    else if (source?.readyState === EventSource.CLOSED) connect();
  });
  addEventListener("pagehide", rest);
  addEventListener("pageshow", (event) => event.persisted && connect());
}
