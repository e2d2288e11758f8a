"""Forms that somebody began to fill in: kept for each user, so that nothing typed is lost with the browser."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from isthmus.application.encoding import Json
from isthmus.errors import InputFault, InvalidInput
from isthmus.store.conflicts import insert_or_replace
from isthmus.store.schema import drafts
from isthmus.store.words import is_storable

MAX_BYTES = 64 * 1024
MAX_DRAFTS = 50
MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """What a form held when it was last kept; `key` says which form."""

    key: str
    body: Json
    updated_at: float


def put_draft(connection: Connection, owner_id: str, key: str, body: Json, now: float) -> None:
    """The owner's draft of this key is this; of more than `MAX_DRAFTS` the oldest are gone. InvalidInput: too large."""
    _check(key, body)
    insert_or_replace(connection, drafts, {"owner_id": owner_id, "key": key, "body": body, "updated_at": now})
    mine = select(drafts.c.key).where(drafts.c.owner_id == owner_id)
    newest = mine.order_by(drafts.c.updated_at.desc(), (drafts.c.key == key).desc()).limit(MAX_DRAFTS)
    kept = list(connection.execute(newest).scalars())
    if len(kept) == MAX_DRAFTS:
        connection.execute(delete(drafts).where(drafts.c.owner_id == owner_id, drafts.c.key.not_in(kept)))


def draft(connection: Connection, owner_id: str, key: str) -> Draft | None:
    """The owner's draft of this key; None: there is none."""
    if not is_storable(key):
        return None
    query = select(drafts.c.key, drafts.c.body, drafts.c.updated_at)
    row = connection.execute(query.where(drafts.c.owner_id == owner_id, drafts.c.key == key)).one_or_none()
    return None if row is None else Draft(*row)


def drop_draft(connection: Connection, owner_id: str, key: str) -> None:
    """The owner has no draft of this key."""
    if is_storable(key):
        connection.execute(delete(drafts).where(drafts.c.owner_id == owner_id, drafts.c.key == key))


def _check(key: str, body: Json) -> None:
    if not (0 < len(key) <= MAX_KEY and is_storable(key)):
        raise _refused("key", f"a draft's key has 1 to {MAX_KEY} characters that can be stored")
    try:
        size = len(json.dumps(body, allow_nan=False))
    except ValueError:
        raise _refused("body", "a number in the form is not finite, so no draft of it is kept") from None
    if size > MAX_BYTES:
        raise _refused("body", f"the form holds more than {MAX_BYTES // 1024} KiB, so no draft of it is kept")


def _refused(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, (InputFault(f"draft.{field}", "unfit", message),))
