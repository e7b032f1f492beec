"""Which web pages may ask. A browser asks for any page, also of this machine; its headers tell for which. Pure."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from ringback.errors import Forbidden

#: The name of the allowed origins among an application's settings.
ORIGINS = "ringback_origins"

#: What ``Sec-Fetch-Site`` says of a request that no page of another origin has caused (Fetch Metadata, 2.4).
OWN = frozenset({"same-origin", "none"})


def check_page(request: HTTPServerRequest, origins: Collection[str]) -> None:
    """Check that no page asks but one of the own origin, or of an allowed one. Programs that are no browser may ask.

    An image or a link of another page has no ``Origin``, but ``Sec-Fetch-Site``; so it is refused, too, since GET may
    call a task. Pages can set neither of the two headers.

    :raises Forbidden: another page asks.
    """
    if "Origin" not in request.headers and "Sec-Fetch-Site" not in request.headers:
        return
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site in OWN or origin in origins or (origin is not None and urlsplit(origin).netloc == request.host):
        return
    raise Forbidden(f"pages of {(origin or 'another origin')[:100]} may not call: RINGBACK_CORS names those that may")
