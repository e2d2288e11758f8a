"""`python -m isthmus.portal HOME [--host HOST] [--port PORT] [--fd N]`: one web process with portal and API."""

from __future__ import annotations

from isthmus.api.__main__ import main
from isthmus.portal import serve

if __name__ == "__main__":
    main("isthmus portal", "Serves the portal and the REST API.", serve)
