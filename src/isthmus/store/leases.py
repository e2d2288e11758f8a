"""Leases: at most one process acts for a cluster, and a process that lost its lease finds out before it writes.

A lease is taken over when its row has not changed for a while *on the taker's own clock*, so no two machines need
agree on the time. The epoch grows with every take; writes under a lease check it first (`hold`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from isthmus.errors import LeaseLost
from isthmus.store.conflicts import insert_new
from isthmus.store.schema import leases


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act under `name`, as long as nobody took it with a later epoch."""

    name: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A lease as it stands; an empty `holder` gave it up. Unchanged between two looks: nobody kept it meanwhile."""

    name: str
    holder: str
    epoch: int
    beat: int


def lease_row(connection: Connection, name: str) -> LeaseRow | None:
    """The lease as it stands, None if it was never taken."""
    columns = (leases.c.name, leases.c.holder, leases.c.epoch, leases.c.beat)
    row = connection.execute(select(*columns).where(leases.c.name == name)).one_or_none()
    return None if row is None else LeaseRow(*row)


def take(connection: Connection, name: str, holder: str, seen: LeaseRow | None) -> Lease | None:
    """The lease is the holder's with the next epoch if it still stands exactly as `seen`; None if it does not."""
    if seen is None:
        made = insert_new(connection, leases, {"name": name, "holder": holder, "epoch": 1, "beat": 0})
        return Lease(name, holder, 1) if made else None
    taken = connection.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.holder == seen.holder)
        .where(leases.c.epoch == seen.epoch, leases.c.beat == seen.beat)
        .values(holder=holder, epoch=seen.epoch + 1, beat=0)
    )
    return Lease(name, holder, seen.epoch + 1) if taken.rowcount == 1 else None


def beat(connection: Connection, lease: Lease) -> None:
    """Everybody who looks sees that the holder is alive. LeaseLost: somebody took it over."""
    kept = connection.execute(
        update(leases).where(leases.c.name == lease.name, leases.c.epoch == lease.epoch).values(beat=leases.c.beat + 1)
    )
    if kept.rowcount != 1:
        raise _lost(lease)


def give_up(connection: Connection, lease: Lease) -> None:
    """The lease is free for the next; nothing happens if it was lost before."""
    mine = (leases.c.name == lease.name, leases.c.epoch == lease.epoch)
    connection.execute(update(leases).where(*mine).values(holder="", beat=leases.c.beat + 1))


def hold(connection: Connection, lease: Lease) -> None:
    """Nobody can take the lease before this transaction ends. LeaseLost: somebody has.

    On PostgreSQL the row is locked: a guard inside the writing statement reads a snapshot that may be older than a
    take that is about to commit, and lets the stale write through.
    """
    if connection.execute(_HELD, {"held": lease.name}).scalar_one_or_none() != lease.epoch:
        raise _lost(lease)


_HELD = select(leases.c.epoch).where(leases.c.name == bindparam("held")).with_for_update(read=True)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"another controller has taken over {lease.name}", detail=f"{lease.holder}, epoch {lease.epoch}")
