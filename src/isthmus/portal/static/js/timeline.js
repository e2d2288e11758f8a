// How long the present state lasts, counted up every second by the gateway's clock.

let skewS = 0; // how far this machine's clock is ahead of the gateway's

function tune() {
  const now = document.querySelector("[data-now]")?.dataset.now;
  if (now) skewS = Date.now() / 1000 - Number(now);
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

function count() {
  for (const element of document.querySelectorAll("[data-since]")) {
    element.textContent = duration(Date.now() / 1000 - skewS - Number(element.dataset.since));
  }
}

tune();
document.addEventListener("htmx:after:swap", tune);
setInterval(count, 1000);
