"""What a job wrote, in the order of its definition, and how a page may show each file.

Nothing that a program wrote is ever a page of this site: pictures are raster images in their own sandbox, everything
else is read here and shown as text, or fetched and drawn by a module of ours. SVG and HTML are downloaded only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from isthmus.api.downloads import SAFE, attachment, file_response
from isthmus.application import Application, Show
from isthmus.errors import NotFound
from isthmus.gateway import Stream
from isthmus.gateway.archive import zip_pieces
from isthmus.job import JobState
from isthmus.portal.excerpts import TEXT_BYTES, TEXT_START_BYTES, Excerpt, excerpt, read_table
from isthmus.portal.opened import Opened, open_job
from isthmus.portal.rendering import page, size
from isthmus.store.views import JobView, OutputView

MIB = 1024 * 1024
MAX_SHOWN = 40
"""Files of one output that a page shows; of more it gives the names."""
MAX_NAMED = 500


class Drawing(StrEnum):
    """How a file is shown where it stands."""

    PICTURE = "picture"
    MAP = "map"
    TABLE = "table"
    JSON = "json"
    TEXT = "text"
    NONE = "none"


_RASTER = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MAPS = ("application/geo+json", "application/vnd.google-earth.kml+xml")
_TABLES = ("text/csv", "text/tab-separated-values")
_HELD_BACK = ("image/svg+xml", "text/html", "application/xhtml+xml")
_BY_ENDING = {
    ".csv": "text/csv",
    ".geojson": "application/geo+json",
    ".gif": "image/gif",
    ".htm": "text/html",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".kml": "application/vnd.google-earth.kml+xml",
    ".log": "text/plain",
    ".md": "text/plain",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".webp": "image/webp",
    ".xhtml": "application/xhtml+xml",
}
_ANY = "application/octet-stream"
_MOST_BYTES = {Drawing.PICTURE: 32 * MIB, Drawing.MAP: 8 * MIB, Drawing.JSON: 4 * MIB, Drawing.TABLE: 64 * MIB}
AT_ONCE_BYTES = 128 * 1024
"""A larger file is fetched to be drawn when somebody asks for it."""


@dataclass(frozen=True, slots=True)
class ShownFile:
    """One file: how it is drawn, at once or when opened, or why it isn't."""

    id: int
    name: str
    path: str
    file_name: str
    label: str
    size: int
    media_type: str
    drawing: Drawing
    at_once: bool
    why_not: str
    query: str
    """What follows `…/outputs/NAME/file` in its address."""


@dataclass(frozen=True, slots=True)
class OutputGroup:
    """The files of one output of the definition; `more` are files beyond those shown."""

    name: str
    label: str
    files: tuple[ShownFile, ...]
    more: tuple[OutputView, ...]
    count: int
    missing: bool


def groups_of(job: JobView, application: Application) -> tuple[OutputGroup, ...]:
    """Every output of the definition in its order, then whatever else was collected; logs are not among them."""
    return tuple(_groups(job, application))


def _groups(job: JobView, application: Application) -> Iterator[OutputGroup]:
    left = [one for one in job.outputs if one.name not in tuple(Stream)]
    collected = job.state.is_final and job.deleted_at is None
    ran = job.state is not JobState.CANCELLED and any(attempt.exit_code is not None for attempt in job.attempts)
    for rule in application.outputs:
        mine = [one for one in left if one.name == rule.name]
        left = [one for one in left if one.name != rule.name]
        if mine or collected:
            yield _group(rule.name, rule.label, rule.show, mine, rule.required and not mine and ran)
    for name in dict.fromkeys(one.name for one in left):
        yield _group(name, name, Show.DOWNLOAD, [one for one in left if one.name == name], False)


def _group(name: str, label: str, show: Show, files: Sequence[OutputView], missing: bool) -> OutputGroup:
    shown = tuple(_shown(label, show, one) for one in files[:MAX_SHOWN])
    return OutputGroup(name, label, shown, tuple(files[MAX_SHOWN : MAX_SHOWN + MAX_NAMED]), len(files), missing)


def _shown(label: str, show: Show, one: OutputView) -> ShownFile:
    media_type = media_type_of(one)
    drawing, why_not = how_drawn(show, media_type, one.size)
    asked_for = show is not Show.DOWNLOAD
    small = one.size <= AT_ONCE_BYTES or drawing in (Drawing.PICTURE, Drawing.TABLE, Drawing.TEXT)
    return ShownFile(
        one.id,
        one.name,
        one.path,
        one.path.rpartition("/")[2],
        label,
        one.size,
        media_type,
        drawing,
        asked_for and small,
        why_not,
        query=f"?path={quote(one.path, safe='')}",
    )


def media_type_of(one: OutputView) -> str:
    """What the definition says, or what the file's ending says where the definition leaves it open."""
    if one.media_type not in ("", _ANY):
        return one.media_type.partition(";")[0].strip().lower()
    ending = "." + one.path.rpartition("/")[2].rpartition(".")[2].lower()
    return _BY_ENDING.get(ending, _ANY)


def how_drawn(show: Show, media_type: str, count: int) -> tuple[Drawing, str]:
    """How a file can be shown where it stands, and why it is not where somebody may expect it."""
    if media_type in _HELD_BACK:
        return Drawing.NONE, "This kind of file can hold a program, so it is only downloaded, never shown here."
    wanted = _asked(show, media_type)
    most = _MOST_BYTES.get(wanted)
    if most is not None and count > most:
        return Drawing.NONE, f"It is larger than the {size(most)} that are drawn here: download it to look at it."
    if count == 0 and wanted is not Drawing.NONE:
        return Drawing.NONE, "The file is empty."
    return wanted, ""


def _asked(show: Show, media_type: str) -> Drawing:
    """What the definition asks for if such a file can be drawn so, else what its media type suggests."""
    by_type = _by_type(media_type)
    fits = {
        Show.PICTURE: by_type is Drawing.PICTURE,
        Show.MAP: by_type in (Drawing.MAP, Drawing.JSON),
        Show.TABLE: by_type in (Drawing.TABLE, Drawing.TEXT),
        Show.JSON: by_type in (Drawing.JSON, Drawing.MAP, Drawing.TEXT),
        Show.TEXT: by_type is not Drawing.PICTURE,
    }
    return Drawing(show.value) if fits.get(show) else by_type


def _by_type(media_type: str) -> Drawing:
    for known, drawing in ((_RASTER, Drawing.PICTURE), (_MAPS, Drawing.MAP), (_TABLES, Drawing.TABLE)):
        if media_type in known:
            return drawing
    if media_type == "application/json" or media_type.endswith("+json"):
        return Drawing.JSON
    return Drawing.TEXT if media_type.startswith("text/") else Drawing.NONE


# --- routes -----------------------------------------------------------------------------------------------------------
def send_file(request: Request) -> Response:
    """One output's bytes, to be saved, or, `inline`, for a page that shows them; of these, only raster images may stand
    in it as they are. What a page can show is no download.
    """
    name, path = request.path_params["name"], request.query_params.get("path")
    inline = request.query_params.get("inline") == "1"
    job = open_job(request)
    found = job.gateway.output(job.access.viewer, job.id, name, path)
    media_type = media_type_of(found)
    if not inline or how_drawn(Show.DOWNLOAD, media_type, found.size)[0] is Drawing.NONE:
        open_job(request, download=found.path)  # written down once it is known to be there, under its own name
    answer = file_response(
        request,
        job.gateway.files.path(found.sha256),
        size=found.size,
        sha256=found.sha256,
        name=found.path.rpartition("/")[2],
        media_type=media_type,
    )
    if inline and media_type in _RASTER:
        answer.headers["Content-Disposition"] = answer.headers.get("Content-Disposition", "").replace(
            "attachment", "inline", 1
        )
    return answer


def send_input(request: Request) -> Response:
    """One input file's bytes, to be saved."""
    name, place = request.path_params["name"], request.query_params.get("position", "0")
    job = open_job(request)
    view = job.gateway.with_files(job.access.viewer, job.id)
    found = next((one for one in view.files if one.name == name and str(one.position) == place), None)
    if found is None:
        raise NotFound("the job took no such file")
    open_job(request, download=found.file_name)
    return file_response(
        request,
        job.gateway.files.path(found.sha256),
        size=found.size,
        sha256=found.sha256,
        name=found.file_name,
        media_type=_ANY,
    )


def send_all(request: Request) -> Response:
    """All outputs as one ZIP file, made while it is sent."""
    job = open_job(request, download="all outputs")
    view = job.gateway.with_files(job.access.viewer, job.id)
    headers = {**SAFE, "Content-Disposition": attachment(f"{view.id}.zip")}
    return StreamingResponse(zip_pieces(job.gateway.files, view.outputs), 200, headers, "application/zip")


def show_file(request: Request) -> Response:
    """A table or a text as a part of the job's page: its beginning, and how much there is."""
    job = open_job(request)
    found = job.gateway.output(job.access.viewer, job.id, request.path_params["name"], request.query_params.get("path"))
    shown = _in_its_group(job, found)
    path = job.gateway.files.path(found.sha256)
    context = {"base": job.base, "file": shown}
    if shown.drawing is Drawing.TABLE:
        tab = media_type_of(found) == "text/tab-separated-values"
        return page(request, "job/table.html", table=read_table(path, "\t" if tab else ","), **context)
    if shown.drawing is not Drawing.TEXT:
        raise NotFound("this file is not shown as text: download it")
    most = TEXT_BYTES if request.query_params.get("whole") == "1" else TEXT_START_BYTES
    text: Excerpt = excerpt(path, most)
    return page(request, "job/text.html", text=text, most=TEXT_BYTES, **context)


def _in_its_group(job: Opened, found: OutputView) -> ShownFile:
    application = Application.from_json(job.job().definition)
    rule = next((one for one in application.outputs if one.name == found.name), None)
    return _shown(rule.label if rule else found.name, rule.show if rule else Show.DOWNLOAD, found)
