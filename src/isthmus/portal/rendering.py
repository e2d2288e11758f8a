"""Templates, and how values are shown in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from isthmus.config import Configuration
from isthmus.errors import InputFault
from isthmus.job import JobState
from isthmus.portal.static_files import static_url

THEME_COOKIE = "isthmus_theme"

STATE_WORDS = {
    JobState.ACCEPTED: "Accepted",
    JobState.STAGING_IN: "Copying inputs",
    JobState.SUBMITTING: "Submitting",
    JobState.QUEUED: "Queued",
    JobState.RUNNING: "Running",
    JobState.STAGING_OUT: "Collecting outputs",
    JobState.COMPLETED: "Completed",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}


class Templates:
    """The portal's templates, read once; a value that isn't there is an error, not an empty place."""

    def __init__(self, cluster_titles: Mapping[str, str] = MappingProxyType({})) -> None:
        folder = str(files("isthmus.portal") / "templates")
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "when": when,
            "when_exactly": when_exactly,
            "duration": duration,
            "size": size,
            "state_words": lambda state: STATE_WORDS[JobState(state)],
            "iso": iso,
            "memory": memory_words,
            "cluster_title": lambda name: cluster_titles.get(name, name),
        }
        self._environment.globals |= {"static": static_url}

    def check(self, name: str) -> None:
        """The template is sound. TemplateSyntaxError."""
        self._environment.get_template(name)

    def render(self, name: str, context: Mapping[str, object]) -> str:
        return self._environment.get_template(name).render(context)


def page(
    request: Request, name: str, status: int = 200, headers: Mapping[str, str] | None = None, /, **context: object
) -> Response:
    """The template as an answer; it knows the visitor (None: a stranger) and the theme they chose."""
    visitor = getattr(request.state, "visitor", None)
    theme = request.cookies.get(THEME_COOKIE, "")
    known: dict[str, object] = {
        "visitor": visitor,
        "path": request.url.path,
        "theme": theme if theme in ("light", "dark") else "",
        "csrf_field": lambda: _csrf_field("" if visitor is None else visitor.csrf),
    }
    templates: Templates = request.app.state.templates
    return HTMLResponse(templates.render(name, {**known, **context}), status, headers=dict(headers or {}))


def wants_part(request: Request) -> bool:
    """Whether htmx asks, for a part of the page that it has, and not a browser for a page."""
    return "hx-request" in request.headers


def cluster_titles(configuration: Configuration) -> Mapping[str, str]:
    """What readers know each configured cluster by, under its name."""
    return {name: config.title or name for name, config in configuration.clusters.items()}


def _csrf_field(token: str) -> Markup:
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def when(at: float | None) -> Markup:
    """The moment as a `time` element, which `portal.js` puts into the reader's own zone; nothing for None."""
    if at is None:
        return Markup("")
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(iso(at), text)


def when_exactly(at: float) -> Markup:
    """The same with its seconds."""
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" data-seconds>{}</time>').format(iso(at), text)


def sentence(words: str) -> str:
    """The words with a capital and a full stop, unless they end with their own."""
    ended = words if words.endswith((".", "!", "?")) else f"{words}."
    return ended[:1].upper() + ended[1:]


def fault_sentence(fault: InputFault) -> str:
    """The fault as it stands beside its field: where it has no subject, it is what was written."""
    lacks_one = fault.message.partition(" ")[0] in ("has", "is", "must")
    return sentence(f"This {fault.message}" if lacks_one else fault.message)


def iso(at: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float | None) -> str:
    """The two largest units: `3 min 5 s`; tenths below ten seconds."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = []
    for length, name in units:
        count, whole = divmod(whole, length)
        parts.append((count, name))
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {name}" for count, name in parts[first : first + 2] if count)


def memory_words(amount_mib: int) -> str:
    """MiB, or GiB to a tenth from one on: `23.5 GiB`."""
    return f"{amount_mib / 1024:,.1f}".removesuffix(".0") + " GiB" if amount_mib >= 1024 else f"{amount_mib} MiB"


def size(count: float) -> str:
    """Bytes in the unit that leaves one to four digits: `1.2 MiB`."""
    if count < 1024:
        return f"{int(count)} bytes" if count != 1 else "1 byte"
    power = min(int(math.log(count, 1024)), 5)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB', 'PiB')[power - 1]}"
