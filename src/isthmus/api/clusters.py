"""Routes of clusters."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from isthmus.api.authentication import Reader
from isthmus.api.documents import answer, cluster_document
from isthmus.api.responses import ClusterList
from isthmus.api.services import TheGateway

router = APIRouter(prefix="/clusters", tags=["clusters"])


@router.get("", response_model=ClusterList)
def list_clusters(gateway: TheGateway, caller: Reader) -> Response:
    """The configured clusters, with what each last said of itself; nobody asks one because of this request."""
    return answer({"clusters": [cluster_document(cluster) for cluster in gateway.clusters().values()]})
