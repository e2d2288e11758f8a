"""What a person in a browser waits for: news on a page, pages with 100,000 jobs behind them, and a thousand readers.

Measured in Debian's Chromium and by raw sockets; each figure stands beside what the same browser or process needs for
the least that could be asked of it.
"""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.connection import submission
from bench.figures import Figure, Peer, Target, percentile
from bench.filling import OWNER, fill, fingerprint
from bench.gateway import Gateway, House, cpu_s_of, gateway
from bench.kept import kept_database
from bench.options import Options
from bench.waiting import wait_until

BODY = submission("bench-true", "seen in a browser")
JOBS = 100_000
READERS = 1000
PAGES = {
    "home": "/",
    "jobs": "/jobs",
    "jobs_failed": "/jobs?state=FAILED",
    "jobs_text": "/jobs?text=squall",
    "programs": "/applications",
    "form": "/applications/bench-true",
    "job": "/jobs/{job}",
    "clusters": "/clusters",
    "account": "/account",
}
WEIGHT_KIB, PAINT_MS, NEWS_MS = Target(200.0), Target(1000.0), Target(1000.0)

# In the page: when each job was heard of, and when it was shown as completed.
_WATCH = """
window.heard = {}; window.shown = {};
document.addEventListener("isthmus:job", (event) => {
  if (event.detail.state === "COMPLETED") window.heard[event.detail.job] ??= [Date.now(), Date.parse(event.detail.at)];
});
new MutationObserver(() => {
  for (const row of document.querySelectorAll("#home-lists [id^=home-]")) {
    if (row.querySelector(".state-completed")) window.shown[row.id.slice(5)] ??= Date.now();
  }
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """One opening of a page: bytes that went over the wire, and milliseconds until something was painted."""

    bytes_sent: int
    paint_ms: float


def measure(options: Options) -> Iterator[Figure]:
    """News, then pages, then readers."""
    yield from _news(options.samples(60, 8))
    yield from _pages(options.samples(JOBS, 5000), options.samples(7, 2))
    yield from _readers(options.samples(READERS, 50))


@contextmanager
def _page(ours: Gateway) -> Iterator[Page]:
    """A page of a browser that is signed in: a session is one of the user's tokens in a cookie."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(base_url=f"http://127.0.0.1:{ours.port}")
        cookie = {"name": "isthmus", "value": ours.token, "url": f"http://127.0.0.1:{ours.port}"}
        context.add_cookies([cookie])  # type: ignore[list-item]  # a TypedDict of the library's own
        yield context.new_page()
        browser.close()


# --- news ------------------------------------------------------------
def _news(count: int) -> Iterator[Figure]:
    """From the time that a job's COMPLETED carries (the controller's, before the commit) to the open home page."""
    with gateway(House(isolation="none")) as ours:
        ours.start_api("isthmus.portal")
        ours.start_controller()
        with _page(ours) as page, ours.connect() as connection:
            page.add_init_script(_WATCH)
            page.goto("/")
            page.wait_for_function("window.isthmusLive !== undefined")
            for number in range(count):
                job = str(json.loads(connection.post("/jobs", BODY, f"news-{number}"))["id"])
                page.wait_for_function("job => window.shown[job] && window.heard[job]", arg=job, timeout=30_000)
            found = page.evaluate("[window.heard, window.shown]")
    heard: Mapping[str, list[float]] = found[0]
    shown: Mapping[str, float] = found[1]
    told = [at - stored for at, stored in heard.values()]
    seen = [shown[job] - stored for job, (_, stored) in heard.items()]
    words = f"{count} jobs, one after the other, in Chromium"
    for label, share in (("p50", 0.50), ("p95", 0.95)):
        beside = Peer(f"the script that hears of it, {label}", percentile(told, share))
        target = NEWS_MS if label == "p95" else None
        yield Figure(f"portal.news.{label}", percentile(seen, share), "ms", beside, target, words)


# --- pages ------------------------------------------------------------
def _pages(jobs: int, times: int) -> Iterator[Figure]:
    with (
        kept_database("sqlite", f"portal-{jobs}", fingerprint(jobs), lambda url: fill(url, jobs)) as url,
        gateway(House(url, user=OWNER)) as ours,
    ):
        ours.start_api("isthmus.portal")
        with ours.connect() as connection:
            job = json.loads(connection.get("/jobs?limit=1"))["jobs"][0]["id"]
        least = _visits(ours, "/static/empty", times)
        beside = Peer("a missing page, first paint", statistics.median(visit.paint_ms for visit in least))
        for name, path in PAGES.items():
            found = _visits(ours, path.format(job=job), times)
            words = f"{jobs:,} jobs in the store, cold cache, median of {times}"
            weight = max(visit.bytes_sent for visit in found) / 1024
            paint = statistics.median(visit.paint_ms for visit in found)
            yield Figure(f"portal.page.{name}.weight", weight, "KiB", None, WEIGHT_KIB, "all that was transferred")
            yield Figure(f"portal.page.{name}.paint", paint, "ms", beside, PAINT_MS, words)


def _visits(ours: Gateway, path: str, times: int) -> list[Visit]:
    """The page opened so often, each time in a browser context that has nothing in its cache."""
    found = []
    for _ in range(times):
        with _page(ours) as page:
            session = page.context.new_cdp_session(page)
            session.send("Network.enable")
            sizes: list[float] = []
            session.on("Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]))
            page.goto(path)
            page.wait_for_timeout(500)
            painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
            found.append(Visit(int(sum(sizes)), float(painted or 0.0)))
    return found


# --- readers ------------------------------------------------------------
def _readers(count: int) -> Iterator[Figure]:
    """The web process and the controller with so many open pages of one user, and jobs that all of them hear of."""
    with gateway(House(isolation="none")) as ours:
        ours.start_api("isthmus.portal")
        ours.start_controller()
        alone = _costs(ours, "alone")
        with ExitStack() as stack:
            before_kib = _memory_kib(ours.web_process())
            sockets = [stack.enter_context(_stream(ours)) for _ in range(count)]
            wait_until(lambda: _are_open(ours, count), "the streams", 60)
            grown_kib = _memory_kib(ours.web_process()) - before_kib
            watched = _costs(ours, "watched")
            heard = sum(_heard(one) for one in sockets)
    words = f"{count} streams of one user; 20 jobs, one every 0.25 s; {heard} of {count} streams heard the last"
    yield Figure("portal.readers.memory", grown_kib / 1024, "MiB", note=f"more in the web process with {words}")
    peer = Peer("without a reader", alone.web_ms)
    yield Figure("portal.readers.web_cpu", watched.web_ms, "ms CPU a job", peer, note=words)
    peer = Peer("without a reader", alone.controller_ms)
    yield Figure("portal.readers.controller_cpu", watched.controller_ms, "ms CPU a job", peer, note=words)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Processor milliseconds for each job."""

    web_ms: float
    controller_ms: float


def _costs(ours: Gateway, key: str, jobs: int = 20) -> _Cost:
    pids = (ours.web_process(), ours.controller_process())
    before = [cpu_s_of(pid) for pid in pids]
    with ours.connect() as connection:
        for number in range(jobs):
            connection.post("/jobs", BODY, f"{key}-{number}")
            time.sleep(0.25)
        wait_until(lambda: _none_is_live(ours), "the jobs' ends", 60)
    web, controller = (1000 * (cpu_s_of(pid) - old) / jobs for pid, old in zip(pids, before, strict=True))
    return _Cost(web, controller)


def _none_is_live(ours: Gateway) -> bool:
    with ours.connect() as connection:
        states = json.loads(connection.get("/jobs/counts"))["states"]
    return {state for state, found in states.items() if found["n"]} <= {"COMPLETED"}


@contextmanager
def _stream(ours: Gateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", ours.port), timeout=30) as made:
        head = f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{ours.port}\r\nCookie: isthmus={ours.token}\r\n\r\n"
        made.sendall(head.encode("ascii"))
        yield made


def _are_open(ours: Gateway, count: int) -> bool:
    with ours.connect() as connection:
        figures = connection.get_raw("/metrics").decode()
    line = next(line for line in figures.splitlines() if line.startswith("isthmus_event_readers "))
    return float(line.split()[1]) >= count


def _heard(stream: socket.socket) -> int:
    """1 if the stream told of a job that completed."""
    stream.setblocking(False)
    received = b""
    try:
        while piece := stream.recv(1 << 20):
            received += piece
    except BlockingIOError:
        pass
    return int(b'"COMPLETED"' in received)


def _memory_kib(pid: int) -> int:
    """What the process holds in memory that is its own (Pss)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])
