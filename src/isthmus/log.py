"""How a process of Isthmus logs: one line an event to stderr, `key=value`, and never the values of variables.

A traceback with locals would show database passwords and tokens to whoever reads the log.
"""

from __future__ import annotations

import logging
import sys

import structlog


def set_up(process: str) -> None:
    """Everything logged from here on goes to stderr as lines that name `process`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "process", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
