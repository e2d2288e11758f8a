"""Figures for Prometheus: jobs by state, readers of events, and how long requests took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.job import JobState
from isthmus.store import Outbox

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Figures:
    """One process's figures. `jobs_by_state`, `followers` and `outbox` are asked when somebody reads them."""

    def __init__(
        self,
        jobs_by_state: Callable[[], Mapping[JobState, int]],
        followers: Callable[[], int],
        outbox: Callable[[], Outbox],
    ) -> None:
        self._registry = CollectorRegistry()
        self.requests = Histogram(
            "isthmus_request_seconds",
            "Time from a request's head to the start of its answer",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Asked(jobs_by_state, followers, outbox))

    def text(self) -> bytes:
        """All figures in Prometheus' text form."""
        return generate_latest(self._registry)


class _Asked(Collector):
    def __init__(
        self,
        jobs_by_state: Callable[[], Mapping[JobState, int]],
        followers: Callable[[], int],
        outbox: Callable[[], Outbox],
    ) -> None:
        self._jobs_by_state, self._followers, self._outbox = jobs_by_state, followers, outbox

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily("isthmus_jobs", "Jobs by state; counted up to a bound", labels=["state"])
        for state, count in self._jobs_by_state().items():
            jobs.add_metric([state.value], count)
        yield jobs
        yield GaugeMetricFamily("isthmus_event_readers", "Open event streams", value=self._followers())
        outbox = self._outbox()
        waits_s = 0.0 if outbox.oldest_at is None else max(0.0, time.time() - outbox.oldest_at)
        yield GaugeMetricFamily("isthmus_mails_waiting", "Mails not yet handed to the mail server", outbox.waiting)
        yield GaugeMetricFamily("isthmus_mails_oldest_seconds", "For how long the oldest of them waits", waits_s)

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is asked of the database at start


class Timing:
    """Counts each request under its route's template, so that ids don't make endless series."""

    def __init__(self, app: ASGIApp, *, figures: Figures) -> None:
        self._app, self._figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                labels = (scope["method"] if scope["method"] in _METHODS else "other", route, str(message["status"]))
                self._figures.requests.labels(*labels).observe(time.perf_counter() - began)
            await send(message)

        return await self._app(scope, receive, timed)


_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})
