// How long the present state lasts, counted up every second by the gateway's clock; while the gateway is not heard of
// nothing is counted, since nobody knows whether the state still lasts.

const STOPPED = " when last heard of";
let tunedTo = "";
let skewS = 0; // how far this machine's clock is ahead of the gateway's

// By a time that just came; that of another part's exchange came long ago.
function tune() {
  const now = document.querySelector("[data-now]")?.dataset.now;
  if (!now || now === tunedTo) return;
  tunedTo = now;
  skewS = Date.now() / 1000 - Number(now);
}

export function duration(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
  let left = Math.floor(seconds);
  const parts = [];
  for (const [length, name] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    parts.push([Math.floor(left / length), name]);
    left %= length;
  }
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, name]) => `${count} ${name}`).join(" ");
}

let isHeard = true;

function count() {
  if (!isHeard) return;
  for (const element of document.querySelectorAll("[data-since]")) {
    const seconds = Date.now() / 1000 - skewS - Number(element.dataset.since);
    element.textContent = duration(seconds);
    if (element.dataset.meter) fill(element.dataset.meter, Math.min(Math.max(seconds / Number(element.dataset.most), 0), 1));
  }
}

function fill(id, part) {
  const meter = document.getElementById(id);
  meter.value = part;
  meter.textContent = document.getElementById(`${id}-part`).textContent = `${Math.round(part * 100)} %`;
}

document.addEventListener("isthmus:live", ({ detail: { connected } }) => {
  isHeard = connected;
  if (connected) return;
  for (const element of document.querySelectorAll("[data-since]")) {
    element.textContent = `${element.textContent.replace(STOPPED, "")}${STOPPED}`;
  }
});

tune();
document.addEventListener("htmx:after:swap", tune);
setInterval(count, 1000);
