"""The HTTP interface: a Celery app's tasks, to be called, held, polled, followed and cancelled.

Each module answers some of the routes; this one lists them all. Everything runs on the loop's greenlet.
"""

from __future__ import annotations

from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule

from ringback.api import canvas, docs_page, events, openapi, operations, runs, tasks, tornado_celery, websocket, wechat
from ringback.api.gateway import Gateway
from ringback.api.handler import read_json
from ringback.calls.switchboard import Switchboard

__all__ = ["Gateway", "read_json", "routes"]

NAME = r"([^/]+)"

#: What all other routes begin with, so that the application's own paths are compared with one pattern, and not twenty.
OURS = r"/(?:v1/|openapi|livez|readyz|metrics|apply|tasks/|wechat|docs).*"


def routes(switchboard: Switchboard) -> list[Any]:
    """The routes for Tornado's ``Application``, to stand beside an application's own."""
    gateway = {"gateway": Gateway(switchboard)}
    openapi.prepare(gateway["gateway"])
    table = [
        (r"/v1/tasks", tasks.Tasks),
        (rf"/v1/tasks/{NAME}", tasks.CallTask),
        (rf"/v1/runs/{NAME}", runs.OneRun),
        (rf"/v1/runs/{NAME}/events", events.Events),
        (r"/v1/canvas", canvas.Canvas),
        (r"/v1/queues", operations.Queues),
        (r"/v1/socket", websocket.Socket),
        (r"/openapi\.json", openapi.OpenApi),
        (r"/livez", operations.Alive),
        (r"/readyz", operations.Ready),
        (r"/metrics", operations.Metrics),
        (rf"/apply-async/{NAME}/?", tornado_celery.ApplyAsync),
        (rf"/apply/{NAME}/?", tornado_celery.Apply),
        (rf"/tasks/result/{NAME}/?", tornado_celery.TaskResult),
        (rf"/tasks/revoke/{NAME}/?", tornado_celery.RevokeTask),
    ]
    if switchboard.settings.wechat_token:
        table.append((r"/wechat", wechat.WeChat))
    names = Rule(AllButPost(r"/"), tornado_celery.TaskNames, gateway)
    ours = [*((pattern, handler, gateway) for pattern, handler in table), *docs_page.routes()]
    return [names, Rule(PathMatches(OURS), ours)]


class AllButPost(PathMatches):
    """Leaves what is posted to this path to the application's own handlers."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Tornado calls this."""
        return super().match(request) if request.method != "POST" else None
