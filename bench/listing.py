"""(e) How long one page of the job list takes with a million jobs, through the store and through the API.

Each query is walked from its first page on, by the cursors, as somebody who scrolls would. What misses the target
leaves its statements and the database's plans for them in a file.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

import psycopg
from sqlalchemy.engine import make_url

from bench.connection import Connection
from bench.figures import Figure, Peer, Target, percentile
from bench.filling import ADMINISTRATOR, COMMON, MIDDLING, OWNER, RARE, fill, fingerprint
from bench.gateway import WORK, House, gateway, sign_in
from bench.kept import kept_database
from bench.options import Options
from bench.plans import plans_of
from isthmus.job import JobState
from isthmus.store import Store, Viewer
from isthmus.store.listing import ListQuery
from isthmus.store.users import Role

JOBS = 1_000_000
PAGE = 50
PAGES = 4
TARGET = Target(50.0)
WARM_UP = 2

QUERIES = {
    "plain": ListQuery(limit=PAGE),
    "state_failed": ListQuery(limit=PAGE, states=(JobState.FAILED,)),
    "state_live": ListQuery(limit=PAGE, states=(JobState.RUNNING, JobState.QUEUED)),
    "application": ListQuery(limit=PAGE, applications=("wave-model",)),
    "state_application": ListQuery(limit=PAGE, states=(JobState.FAILED,), applications=("wave-model",)),
    "text_rare": ListQuery(limit=PAGE, text=RARE),
    "text_middling": ListQuery(limit=PAGE, text=MIDDLING),
    "text_common": ListQuery(limit=PAGE, text=COMMON),
    "text_common_state": ListQuery(limit=PAGE, text=COMMON, states=(JobState.CANCELLED,)),
    "text_two_words": ListQuery(limit=PAGE, text=f"{COMMON} {MIDDLING}"),
    "label": ListQuery(limit=PAGE, labels=("series-42",)),
}
Turn = Callable[[ListQuery], str | None]


@dataclass(slots=True)
class Reader:
    """Reads pages as one user, through the store or the API; `turn` gives the next page's cursor."""

    turn: Turn
    taken_s: list[float] = field(default_factory=list)

    def walk(self, query: ListQuery, pages: int) -> None:
        """So many pages have been read, or all there are."""
        cursor: str | None = None
        for _ in range(pages):
            start = time.perf_counter()
            cursor = self.turn(replace(query, cursor=cursor))
            self.taken_s.append(time.perf_counter() - start)
            if cursor is None:
                return


def measure(options: Options) -> Iterator[Figure]:
    """p95 of each query, as the owner of a fifth of the jobs and as an administrator, who sees all."""
    count = options.samples(JOBS, 100_000)
    pages = options.samples(60, 12)
    for kind in options.on("sqlite", "postgresql"):
        with kept_database(kind, f"list-{count}", fingerprint(count), lambda url: fill(url, count)) as url:
            raw = Peer("SELECT … ORDER BY key LIMIT 50, p95", _raw_p95(url))
            for who, role in ((OWNER, Role.USER), (ADMINISTRATOR, Role.ADMIN)):
                yield from _through_store(f"list.{kind}.store.{who}", url, who, role, pages, raw)
                yield from _through_api(f"list.{kind}.api.{who}", url, who, role, pages, raw)


def _through_store(name: str, url: str, who: str, role: Role, pages: int, raw: Peer) -> Iterator[Figure]:
    with Store.open(url) as store:
        viewer, _ = sign_in(store, who, role)

        def turn(query: ListQuery) -> str | None:
            return store.page(viewer, query).next_cursor

        yield from _figures(name, turn, pages, raw, lambda query: _plans(url, store, viewer, query))


def _through_api(name: str, url: str, who: str, role: Role, pages: int, raw: Peer) -> Iterator[Figure]:
    with gateway(House(url, user=who, role=role)) as ours:
        ours.start_api()
        with ours.connect() as connection:
            yield from _figures(name, lambda query: _page(connection, query), pages, raw, None)


def _page(connection: Connection, query: ListQuery) -> str | None:
    words = [("everybody", "true"), ("limit", str(query.limit)), ("text", query.text), ("cursor", query.cursor or "")]
    words += [("state", state.value) for state in query.states]
    words += [("application", name) for name in query.applications] + [("label", label) for label in query.labels]
    answer = json.loads(connection.get(f"/jobs?{urlencode([(key, value) for key, value in words if value])}"))
    found: str | None = answer["next_cursor"]
    return found


def _figures(
    name: str, turn: Turn, pages: int, raw: Peer, plans: Callable[[ListQuery], str] | None
) -> Iterator[Figure]:
    for label, query in QUERIES.items():
        Reader(turn).walk(query, WARM_UP)
        reader = Reader(turn)
        while len(reader.taken_s) < pages:
            reader.walk(query, PAGES)
        p50, p95 = (1000 * percentile(reader.taken_s, share) for share in (0.50, 0.95))
        figure = Figure(f"{name}.{label}", p95, "ms", raw, TARGET, f"p95 of {len(reader.taken_s)} pages; p50 {p50:.1f}")
        if plans is not None and not figure.is_met:
            place = _keep(figure.name, plans(query))
            figure = replace(figure, note=f"{figure.note}; plans in {place}")
        yield figure


def _plans(url: str, store: Store, viewer: Viewer, query: ListQuery) -> str:
    return plans_of(url, lambda: store.page(viewer, query))


def _keep(name: str, words: str) -> Path:
    path = WORK / f"plans-{name}.txt"
    path.write_text(words, encoding="utf-8")
    return path


def _raw_p95(url: str) -> float:
    """What the same driver needs for 50 whole rows by the primary key, in ms."""
    statement = f"SELECT * FROM jobs ORDER BY number DESC LIMIT {PAGE}"  # noqa: S608  (a number of ours)
    taken_s = []
    with closing(_raw_connection(url)) as connection:
        for _ in range(100):
            start = time.perf_counter()
            connection.execute(statement).fetchall()
            taken_s.append(time.perf_counter() - start)
    return 1000 * percentile(taken_s, 0.95)


def _raw_connection(url: str) -> sqlite3.Connection | psycopg.Connection:
    place = make_url(url)
    if place.get_backend_name() == "sqlite":
        return sqlite3.connect(place.database or "")
    return psycopg.connect(place.set(drivername="postgresql").render_as_string(hide_password=False))
