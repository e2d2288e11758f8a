"""A store with any number of jobs: rows as the gateway writes them, put in by bulk.

Who and what: 200 users, of whom `bench` owns a fifth of all jobs; nine in ten jobs COMPLETED; a name of three words out
of a fixed vocabulary, of which COMMON is in a third of the jobs and RARE in one of 50,000; every fifth job has a label.
The same `count` always gives the same rows.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import Table
from sqlalchemy.engine import make_url

from bench.definitions import remember
from isthmus.job import Cause, JobState, Resources
from isthmus.store import Store, ids, schema
from isthmus.store.users import Role
from isthmus.store.words import search_text

OWNER = "bench"
ADMINISTRATOR = "bench-admin"
COMMON, MIDDLING, RARE = "storm", "squall", "waterspout"
EVERY_COMMON, EVERY_MIDDLING, EVERY_RARE = 3, 100, 50_000
APPLICATIONS = ("storm-clustering", "bench-true", "bench-clock", "python-script", "wave-model")
VOCABULARY = tuple(
    f"{first}{last}" for first in ("al", "be", "ca", "du", "er") for last in ("ma", "ne", "pi", "so", "ty")
)
LAST_AT = 1_750_000_000.0
EVERY_S = 30.0
BLOCK = 10_000
Row = tuple[object, ...]

_STATES = (
    *[(JobState.COMPLETED, Cause.EXIT_ZERO)] * 180,
    *[(JobState.FAILED, Cause.EXIT_NONZERO)] * 12,
    *[(JobState.CANCELLED, Cause.CANCELLED_BY_USER)] * 5,
    *[(JobState.ACCEPTED, None), (JobState.QUEUED, None), (JobState.RUNNING, None)],
)


def fill(url: str, count: int) -> None:
    """The store at this URL, until now empty, holds `count` jobs; says how far it is on stderr."""
    with Store.open(url) as store:
        bench_id = store.create_user(OWNER, "a long enough password", Role.USER).id
        store.create_user(ADMINISTRATOR, "a long enough password", Role.ADMIN)
        digest, version = remember(store, "bench-true")
    others = [ids.new_id(LAST_AT) for _ in range(199)]
    owners = [bench_id if index % 5 == 0 else others[index % 199] for index in range(5 * 199)]
    people = [(user_id, f"person-{index}", "user", LAST_AT, False) for index, user_id in enumerate(others)]
    jobs = _jobs(count, owners, digest, version)
    labels = ((number, f"series-{number % 97}") for number in range(5, count + 1, 5))
    put = _into_sqlite if make_url(url).get_backend_name() == "sqlite" else _into_postgresql
    put(
        url,
        [
            (schema.users, ("id", "name", "role", "created_at", "must_change_password"), people),
            (schema.jobs, JOB_COLUMNS, _told(jobs, count)),
            (schema.job_labels, ("job", "label"), labels),
        ],
    )


def fingerprint(count: int) -> str:
    """Changes with whatever makes the filled store another: the schema, these rows, the count."""
    sources = [Path(__file__), *sorted(Path(schema.__file__).parent.glob("migrations/versions/*.py"))]
    return hashlib.sha256(b"".join([str(count).encode(), *(path.read_bytes() for path in sources)])).hexdigest()[:12]


JOB_COLUMNS = (
    *("number", "id", "owner_id", "cluster", "application", "version", "digest", "name", "inputs", "resources"),
    *("restartable", "max_attempts", "root_id", "created_at", "state", "state_at", "attempts", "cause", "evidence"),
    *("waiting_reason", "started_at", "ended_at", "exit_code", "next_check_at", "seq", "search_text"),
)


def _jobs(count: int, owners: Sequence[str], digest: str, version: str) -> Iterator[Row]:
    chance = random.Random(20)  # noqa: S311  (rows that repeat, not secrets)
    inputs = json.dumps({"threshold_dbz": 40, "eps_km": 4, "title": ""})
    resources = json.dumps(asdict(Resources()))
    for number in range(1, count + 1):
        created_at = LAST_AT - (count - number) * EVERY_S + chance.random()
        state, cause = chance.choice(_STATES)
        application = APPLICATIONS[0] if number % 2 else chance.choice(APPLICATIONS)
        name = _name(chance, number)
        started_at = created_at + 2 if state is not JobState.ACCEPTED else None
        ended_at = created_at + 60 * chance.random() if state.is_final else None
        job_id = ids.new_id(created_at)
        evidence = "the program ended with exit code 0" if state is JobState.COMPLETED else ""
        text = search_text(name, application, *([f"series-{number % 97}"] if number % 5 == 0 else []))
        yield (
            *(number, job_id, owners[number % len(owners)], "local", application, version, digest, name, inputs),
            *(resources, False, 3, job_id, created_at, state.value, ended_at or created_at, 1, cause and cause.value),
            *(evidence, "", started_at, ended_at, 0 if state is JobState.COMPLETED else None),
            *(None if state.is_final else created_at + 300, 6, text),
        )


def _name(chance: random.Random, number: int) -> str:
    words = [chance.choice(VOCABULARY), chance.choice(VOCABULARY), str(number)]
    every = {COMMON: EVERY_COMMON, MIDDLING: EVERY_MIDDLING, RARE: EVERY_RARE}
    return " ".join([*words, *(word for word, nth in every.items() if number % nth == 0)])


def _told(rows: Iterable[Row], count: int) -> Iterator[Row]:
    """The same rows; how many have gone by is said on stderr."""
    start = time.monotonic()
    for number, row in enumerate(rows, 1):
        if number % 50_000 == 0 or number == count:
            print(f"\rbench: {number:,} of {count:,} jobs, {time.monotonic() - start:.0f} s", end="", file=sys.stderr)
        yield row
    print(file=sys.stderr)


_Content = Sequence[tuple[Table, Sequence[str], Iterable[Row]]]


def _into_sqlite(url: str, content: _Content) -> None:
    """Without fsync: a half-filled file is thrown away. Indexes and triggers do their work row by row, as always."""
    connection = sqlite3.connect(make_url(url).database or "", isolation_level=None)
    for pragma in ("synchronous=OFF", "cache_size=-500000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    for table, columns, rows in content:
        places = ", ".join("?" for _ in columns)
        statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608  (names are ours)
        for block in _blocks(rows):
            connection.execute("BEGIN")
            connection.executemany(statement, block)
            connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    found = iter(rows)
    while block := list(itertools.islice(found, BLOCK)):
        yield block


def _into_postgresql(url: str, content: _Content) -> None:
    """By COPY; then what the server's own housekeeping would do in the hours that a million jobs take to come."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for table, columns, rows in content:
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), names)
            with connection.cursor().copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        connection.execute("SELECT setval(pg_get_serial_sequence('jobs', 'number'), (SELECT max(number) FROM jobs))")
        connection.execute("VACUUM ANALYZE")
