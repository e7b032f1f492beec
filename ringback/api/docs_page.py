"""``/docs``: Swagger UI shows ``/openapi.json``. Its files lie in ``swagger_ui/``; the browser asks no other host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tornado.web

from ringback.web import RequestHandler

#: The files of npm's swagger-ui-dist; ``make vendor`` fetches them, and ``VERSION`` and ``SHA256SUMS`` name them.
SWAGGER_UI = Path(__file__).parent / "swagger_ui"

#: Asks for a token where one is needed: it is sent with the description's request and with all that follow.
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Ringback</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
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
    """``GET /docs``: the page. It tells nothing by itself, so it needs no token."""

    def get(self) -> None:
        """The page, which may load nothing from anywhere else."""
        self.set_header("Content-Security-Policy", "default-src 'self' data:; style-src 'self' 'unsafe-inline'")
        self.write(PAGE)


class Start(RequestHandler):
    """``GET /docs/start.js``."""

    def get(self) -> None:
        """What starts Swagger UI."""
        self.set_header("Content-Type", "text/javascript")
        self.write(START)


def routes() -> list[Any]:
    """The page and the files that it loads."""
    files = {"path": str(SWAGGER_UI)}
    return [
        (r"/docs", Page),
        (r"/docs/start\.js", Start),
        (r"/docs/(swagger-ui\.css|swagger-ui-bundle\.js)", tornado.web.StaticFileHandler, files),
    ]
