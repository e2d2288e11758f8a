"""What is said to schedulers, as text: their dialects later, and today the wrapper that every job starts in."""

from __future__ import annotations

from pathlib import Path

WRAPPER = Path(__file__).parent / "templates" / "wrapper.sh"
"""POSIX sh; its head says what it is given and what it promises."""
