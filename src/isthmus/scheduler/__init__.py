"""What is said to schedulers, as text: their dialects later, and today the wrapper that every job starts in."""

from __future__ import annotations

from pathlib import Path

_TEMPLATES = Path(__file__).parent / "templates"
WRAPPER = _TEMPLATES / "wrapper.sh"
"""POSIX sh; its head says what it is given and what it promises."""

OVER_HTTP = _TEMPLATES / "over_http.sh"
"""Starts an attempt where the gateway's files are not seen; POSIX sh, as its head says."""

FETCH = _TEMPLATES / "fetch.sh"
"""Gets `over_http.sh` from the gateway and goes on as it; short, since a scheduler keeps it with every job."""
