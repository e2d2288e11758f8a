"""The REST API: HTTP on one side, `gateway` on the other. The web process holds no access to any cluster.

    request ─► figures ─► body limit ─► sign-in ─► route (its scope, its models) ─► gateway ─► answer | problem

Routes are plain functions in threads, but for uploads and event streams. `server.serve` runs the process.
"""

from isthmus.api.app import make_app
from isthmus.api.server import serve

__all__ = ["make_app", "serve"]
