"""Which jobs to find, as the gateway's list takes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from isthmus.job import JobState

PAGE = 200


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Filters that all hold, and an order.

    It finds your own jobs; administrators may ask for those of one `owner`, or of `everybody`.
    """

    states: tuple[JobState, ...] = ()
    application: str | None = None
    cluster: str | None = None
    text: str | None = None
    label: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    owner: str | None = None
    archived: bool = False
    sort: str = "created"
    descending: bool = True
    everybody: bool = False

    def params(self, cursor: str | None, limit: int) -> dict[str, str | int | list[str]]:
        """The query's part of an address."""
        given = {
            "application": self.application,
            "cluster": self.cluster,
            "text": self.text,
            "label": self.label,
            "created_after": _text(self.created_after),
            "created_before": _text(self.created_before),
            "owner": self.owner,
            "cursor": cursor,
        }
        params: dict[str, str | int | list[str]] = {key: text for key, text in given.items() if text is not None}
        return params | {
            "state": [str(state) for state in self.states],
            "sort": self.sort,
            **({"everybody": "true"} if self.everybody else {}),
            "archived": str(self.archived).lower(),
            "descending": str(self.descending).lower(),
            "limit": limit,
        }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
