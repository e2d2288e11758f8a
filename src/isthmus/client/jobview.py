"""What a job shows of itself: the same for the synchronous and the asynchronous client."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from isthmus.client.records import AttemptRecord, JobRecord, OutputRecord
from isthmus.job import Cause, JobState


class JobView:
    """A job as last read; `record` has all that is known, the properties what one asks most."""

    def __init__(self, record: JobRecord) -> None:
        self.record = record

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def application(self) -> str:
        return self.record.application

    @property
    def state(self) -> JobState:
        return self.record.state

    @property
    def cause(self) -> Cause | None:
        return self.record.cause

    @property
    def is_final(self) -> bool:
        return self.record.state.is_final

    @property
    def waiting_reason(self) -> str:
        return self.record.waiting_reason

    @property
    def exit_code(self) -> int | None:
        return self.record.exit_code

    @property
    def inputs(self) -> dict[str, object]:
        return self.record.inputs

    @property
    def parent(self) -> str | None:
        return self.record.parent

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        return self.record.attempts

    @property
    def outputs(self) -> tuple[OutputRecord, ...]:
        """The files it has left, as last read; empty until it is final."""
        return self.record.outputs

    @property
    def seconds(self) -> float | None:
        """How long its program has run, until now or its end; None before its start."""
        if self.record.started_at is None:
            return None
        return ((self.record.ended_at or datetime.now(UTC)) - self.record.started_at).total_seconds()

    def __repr__(self) -> str:
        cause = f" ({self.cause})" if self.cause else ""
        return f"<{type(self).__name__} {self.id} {self.application} {self.state}{cause}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobView) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        """A table for notebooks; every value in it is escaped."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in self._rows()
            if text
        )
        return f"<table>{rows}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        record = self.record
        seconds = self.seconds
        return [
            ("job", record.id),
            ("name", record.name),
            ("application", f"{record.application} {record.version}"),
            ("cluster", record.cluster),
            ("state", f"{record.state}" + (f", {record.cause}" if record.cause else "")),
            ("waits because", record.waiting_reason),
            ("evidence", record.evidence),
            ("ran", "" if seconds is None else f"{seconds:.1f} s"),
            ("inputs", ", ".join(f"{name}={value}" for name, value in record.inputs.items())),
            ("outputs", ", ".join(output.path for output in record.outputs)),
        ]
