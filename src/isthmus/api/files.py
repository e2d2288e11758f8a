"""Routes of uploaded files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from isthmus.api.authentication import Reader, Submitter
from isthmus.api.documents import answer, upload_document
from isthmus.api.downloads import FILE_RESPONSES, file_response
from isthmus.api.requests import Id, IdInPath, Line
from isthmus.api.responses.people import FileList, FileOut
from isthmus.api.services import TheGateway
from isthmus.api.uploads import FormFile, boundary_of, file_name, gathered, media_type_of
from isthmus.errors import InputFault, InvalidInput, TooLarge
from isthmus.files import FileStore, StoredFile

router = APIRouter(prefix="/files", tags=["files"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD = {
    "requestBody": {
        "required": False,  # an empty file is a file
        "content": {
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "additionalProperties": False,
                }
            },
        },
    }
}


@router.post("", response_model=FileOut, status_code=201, openapi_extra=_UPLOAD)
async def upload_file(
    request: Request, gateway: TheGateway, caller: Submitter, name: Annotated[Line | None, Query()] = None
) -> Response:
    """The file is in the gateway: the body itself, of any content type, or the one file of a multipart form."""
    sent_as = request.headers.get("content-type", "")
    boundary = boundary_of(sent_as)
    form = None if boundary is None else FormFile(boundary)
    body = request.stream() if form is None else form.content(request.stream())
    identity = caller.identity
    room = await anyio.to_thread.run_sync(gateway.quota.room_bytes, identity.user_id, identity.name)
    most = gateway.configuration.house.api.max_upload_mib * 1024 * 1024
    try:
        stored = await _store(gateway.files, body, most if room is None else min(most, room))
    except TooLarge as fault:
        if room is None or room >= most:
            raise
        raise await anyio.to_thread.run_sync(gateway.quota.too_large, identity.user_id, identity.name) from fault
    except ClientDisconnect as gone:
        raise _unfinished() from gone
    called = file_name(name or (form.name if form else "") or "file")
    media_type = media_type_of(form.media_type if form else sent_as, called)
    add = partial(gateway.store.add_upload, caller.viewer, stored, called, media_type)
    upload = await anyio.to_thread.run_sync(gateway.quota.keep, identity.user_id, identity.name, stored.size, add)
    uses = await anyio.to_thread.run_sync(gateway.store.upload_uses, caller.viewer, [upload])
    return answer(upload_document(upload, uses[upload.id]), 201, {"Location": f"{request.url.path}/{upload.id}"})


async def _store(files: FileStore, body: AsyncIterator[bytes], max_bytes: int) -> StoredFile:
    """The bytes are in the file store, or none of them if they can't all be taken."""
    async with contextmanager_in_threadpool(files.writer(max_bytes)) as writer:
        async for piece in gathered(body):
            await anyio.to_thread.run_sync(writer.write, piece)
    return writer.result


def _unfinished() -> InvalidInput:
    message = "the connection ended before the whole file was here"
    return InvalidInput(message, (InputFault("body", "unfinished", message),))


@router.get("", response_model=FileList)
def list_files(
    gateway: TheGateway,
    caller: Reader,
    before: Annotated[Id | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """The caller's uploads, the newest first."""
    found = gateway.store.uploads(caller.viewer, limit, before)
    next_before = found[-1].id if len(found) == limit else None
    uses = gateway.store.upload_uses(caller.viewer, found)
    return answer({"files": [upload_document(one, uses[one.id]) for one in found], "next_before": next_before})


@router.get("/{file_id}", response_model=FileOut)
def show_file(file_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """What is known of one upload."""
    found = gateway.store.upload(caller.viewer, file_id)
    return answer(upload_document(found, gateway.store.upload_uses(caller.viewer, [found])[found.id]))


@router.get("/{file_id}/content", response_class=Response, responses=FILE_RESPONSES)
def download_file(request: Request, file_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """The upload's bytes."""
    upload = gateway.store.upload(caller.viewer, file_id)
    return file_response(
        request,
        gateway.files.path(upload.sha256),
        size=upload.size,
        sha256=upload.sha256,
        name=upload.name,
        media_type=upload.media_type,
    )


@router.delete("/{file_id}", status_code=204)
def delete_file(file_id: IdInPath, gateway: TheGateway, caller: Submitter) -> Response:
    """The upload is gone; jobs that take it keep its bytes."""
    gateway.store.delete_upload(caller.viewer, file_id)
    gateway.quota.forget()
    return Response(status_code=204)
