"""``/docs``: Swagger UI shows ``/openapi.json``. Its files are in ``swagger_ui/``; the browser asks no other host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tornado.web

from ringback.web import RequestHandler

#: The files of npm's swagger-ui-dist; ``make vendor`` fetches them, and ``VERSION`` and ``SHA256SUMS`` name them.
SWAGGER_UI = Path(__file__).parent / "swagger_ui"

#: The page asks for a token if one is needed, and sends it with the request for the description and with all calls.
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Ringback</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
#: The page loads nothing from another host, and is shown in no frame.
POLICY = "default-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

START = """(async () => {
  let token = "";
  const authorized = (request) => {
    if (token) request.headers = { ...request.headers, Authorization: `Bearer ${token}` };
    return request;
  };
  if ((await fetch("/openapi.json")).status === 401) token = prompt("Token") ?? "";
  SwaggerUIBundle({ url: "/openapi.json", dom_id: "#ui", requestInterceptor: authorized, validatorUrl: null });
})();
"""


class Page(RequestHandler):
    """Answers ``GET /docs`` with the page. The page itself shows nothing, so it needs no token."""

    open_to_all = True

    def get(self) -> None:
        """Answer with the page, whose policy forbids to load anything from another host."""
        self.set_header("Content-Security-Policy", POLICY)
        self.write(PAGE)


class Start(RequestHandler):
    """Answers ``GET /docs/start.js``."""

    open_to_all = True

    def get(self) -> None:
        """Answer with the script that starts Swagger UI."""
        self.set_header("Content-Type", "text/javascript")
        self.write(START)


def routes() -> list[Any]:
    """List the routes of the page and of the files that it loads."""
    files = {"path": str(SWAGGER_UI)}
    return [
        (r"/docs", Page),
        (r"/docs/start\.js", Start),
        (r"/docs/(swagger-ui\.css|swagger-ui-bundle\.js)", tornado.web.StaticFileHandler, files),
    ]
