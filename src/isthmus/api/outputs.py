"""Routes of what jobs wrote: outputs, all of them as one file, and logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from isthmus.api.access import opened
from isthmus.api.authentication import Reader
from isthmus.api.documents import answer, output
from isthmus.api.downloads import FILE_RESPONSES, SAFE, attachment, file_response
from isthmus.api.requests import IdInPath, OutputPath, WordInPath
from isthmus.api.responses.jobs import Outputs
from isthmus.api.services import TheGateway
from isthmus.gateway import Stream
from isthmus.gateway.archive import zip_pieces

router = APIRouter(prefix="/jobs/{job_id}", tags=["outputs"])

MAX_PIECE = 1024 * 1024


@router.get("/outputs", response_model=Outputs)
def list_outputs(request: Request, job_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """The collected files, stdout and stderr among them."""
    viewer = opened(request, gateway, caller, job_id).viewer
    return answer({"outputs": [output(one) for one in gateway.store.job(viewer, job_id).outputs]})


@router.get(
    "/outputs.zip",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def download_outputs(request: Request, job_id: IdInPath, gateway: TheGateway, caller: Reader) -> Response:
    """All collected files as one ZIP file, made while it is sent."""
    job = gateway.with_files(opened(request, gateway, caller, job_id).viewer, job_id)
    opened(request, gateway, caller, job_id, download="all outputs")
    headers = {**SAFE, "Content-Disposition": attachment(f"{job.id}.zip")}
    return StreamingResponse(zip_pieces(gateway.files, job.outputs), 200, headers, "application/zip")


@router.get("/outputs/{name}", response_class=Response, responses=FILE_RESPONSES)
def download_output(
    request: Request,
    job_id: IdInPath,
    name: WordInPath,
    gateway: TheGateway,
    caller: Reader,
    path: Annotated[OutputPath | None, Query()] = None,
) -> Response:
    """One collected file; `path` says which where the output has several."""
    found = gateway.output(opened(request, gateway, caller, job_id).viewer, job_id, name, path)
    opened(request, gateway, caller, job_id, download=found.path)
    return file_response(
        request,
        gateway.files.path(found.sha256),
        size=found.size,
        sha256=found.sha256,
        name=found.path.rpartition("/")[2],
        media_type=found.media_type,
    )


@router.get(
    "/log/{stream}",
    response_class=Response,
    responses={
        200: {
            "description": "bytes of the log as the program wrote them",
            "content": {"text/plain": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                name: {"schema": {"type": kind}, "description": said}
                for name, kind, said in (
                    ("Log-Offset", "integer", "where these bytes begin"),
                    ("Log-Next-Offset", "integer", "where to go on"),
                    ("Log-Complete", "boolean", "nothing follows Log-Next-Offset"),
                )
            },
        }
    },
)
def read_log(
    request: Request,
    job_id: IdInPath,
    stream: Stream,
    gateway: TheGateway,
    caller: Reader,
    offset: Annotated[int, Query(ge=-(2**53), le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PIECE)] = 64 * 1024,
) -> Response:
    """A piece of stdout or stderr from `offset`, from the end where negative; a living job's log is followed."""
    viewer = opened(request, gateway, caller, job_id).viewer
    piece = gateway.log(viewer, job_id, stream, offset, limit)
    headers = {
        **SAFE,
        "Log-Offset": str(piece.offset),
        "Log-Next-Offset": str(piece.next_offset),
        "Log-Complete": "true" if piece.complete else "false",
    }
    return Response(piece.content, 200, headers, "text/plain; charset=utf-8")
