"""Routes of clusters."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from isthmus.api.access import actor_of
from isthmus.api.authentication import Administrator, Reader
from isthmus.api.documents import answer, cluster_document
from isthmus.api.openapi import errors
from isthmus.api.requests import ClusterPatch, WordInPath
from isthmus.api.responses.clusters import ClusterList, ClusterOut
from isthmus.api.services import TheGateway
from isthmus.errors import InputFault, InvalidInput

router = APIRouter(prefix="/clusters", tags=["clusters"])


@router.get("", response_model=ClusterList)
def list_clusters(gateway: TheGateway, caller: Reader) -> Response:
    """The configured clusters, with what each last said of itself; nobody asks one because of this request."""
    return answer({"clusters": [cluster_document(cluster) for cluster in gateway.clusters().values()]})


@router.patch("/{name}", response_model=ClusterOut)
def change_cluster(
    request: Request, name: WordInPath, body: ClusterPatch, gateway: TheGateway, caller: Administrator
) -> Response:
    """The cluster takes no new jobs, for this reason, or it does again; jobs that it has go on either way."""
    if body.closed and not (body.reason or "").strip():
        message = "say why the cluster is closed: users are told"
        raise InvalidInput(message, (InputFault("reason", "missing", message),))
    reason = body.reason if body.closed else None
    return answer(cluster_document(gateway.close_cluster(name, reason, actor_of(request, caller))))


@router.post("/{name}/registration", response_model=ClusterOut, responses=errors(_409="its master has not removed it"))
def register_cluster(request: Request, name: WordInPath, gateway: TheGateway, caller: Administrator) -> Response:
    """The gateway registers anew with a Mesos cluster whose master has removed it; refused while it is registered."""
    return answer(cluster_document(gateway.register_cluster(name, actor_of(request, caller))))
