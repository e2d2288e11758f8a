"""The portal: server-rendered pages over the gateway's functions, in the same web process as the API.

    app          puts the parts together          visitor     who is asking, and what they may read
    session      cookie, CSRF, security headers   rendering   templates and how values are shown
    live         one event stream a page          trouble     every error as a page or a message
    signing_in, home, forms, …                    one module a part, each with its `routes`

A page never asks a cluster: it reads what the controller stored, and stores wishes.
"""

from __future__ import annotations

from isthmus.portal.app import make_site, serve

__all__ = ["make_site", "serve"]
