"""The route table of the HTTP interface."""

from __future__ import annotations

import re
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule

from ringback.api import (
    canvas,
    docs_page,
    events,
    openapi,
    operations,
    runs,
    tasks,
    tickets,
    tornado_celery,
    websocket,
    wechat,
)
from ringback.api.gateway import Gateway
from ringback.api.route import Route
from ringback.calls import Switchboard
from ringback.web import Access

ROUTES = (
    Route("/v1/tasks", tasks.Tasks, {"GET": "List the tasks: signature, docstring, JSON schema of the arguments"}),
    Route("/v1/tasks/{name}", tasks.OneTask, {"GET": "Describe one task", "POST": "Call a task"}),
    Route(
        "/v1/runs/{id}",
        runs.OneRun,
        {
            "GET": "Read a run: its state, and its result if it has ended; ?wait=N waits up to N seconds for that",
            "PUT": "Start a run under the caller's own id, any number of times",
            "DELETE": "Cancel a run; ?terminate=true stops it even if it is running, ?forget=true erases it",
        },
    ),
    Route("/v1/runs/{id}/events", events.Events, {"GET": "Follow a run by server-sent events; Last-Event-ID resumes"}),
    Route("/v1/canvas", canvas.Canvas, {"POST": "Start a chain, a group or a chord of tasks as one run"}),
    Route("/v1/queues", operations.Queues, {"GET": "Read how many tasks wait in each queue, and for how many workers"}),
    Route("/v1/socket", websocket.Socket, {"GET": "Open a WebSocket for many calls"}, described=False),
    Route("/v1/tickets", tickets.NewTicket, {"POST": "Get a ticket for an event stream or WebSocket of a browser"}),
    Route("/livez", operations.Alive, {"GET": "Ask whether the process is alive"}),
    Route("/readyz", operations.Ready, {"GET": "Ask whether a call could be made now"}),
    Route("/metrics", operations.Metrics, {"GET": "Read the metrics for Prometheus"}),
    Route(
        "/openapi.json", openapi.OpenApi, {"GET": "Read this interface's description (OpenAPI 3.1)"}, described=False
    ),
    Route("/", tornado_celery.TaskNames, {"GET": "List the names of the tasks"}),
    Route("/apply/{name}/", tornado_celery.Apply, {"POST": "Call a task, and wait for its end"}),
    Route("/apply-async/{name}/", tornado_celery.ApplyAsync, {"POST": "Call a task, and get its id at once"}),
    Route("/tasks/result/{id}/", tornado_celery.TaskResult, {"GET": "Read the state and result of a task"}),
    Route("/tasks/revoke/{id}/", tornado_celery.RevokeTask, {"DELETE": "Revoke a task"}),
)

WECHAT = Route(
    "/wechat", wechat.WeChat, {"GET": "Prove the address to WeChat", "POST": "Reply to a message"}, described=False
)


def routes(switchboard: Switchboard, access: Access | None = None) -> list[Any]:
    """The routes for Tornado's ``Application``, to stand beside an application's own.

    :param switchboard: as ``install`` returned it; it may be started already.
    :param access: finds out who asks; by default the tokens of the settings.
    """
    gateway = Gateway(switchboard, access)
    openapi.prepare(gateway, ROUTES)
    table = [*ROUTES, WECHAT] if switchboard.settings.wechat_token else list(ROUTES)
    argument = {"gateway": gateway}
    ours = [(route.pattern, route.handler, argument) for route in table if route.path != "/"]
    # The application's own paths are compared with one pattern, and not with twenty.
    segments = {route.first_segment for route in table if route.path != "/"} | {"/docs"}
    beginning = PathMatches(f"(?:{'|'.join(map(re.escape, sorted(segments)))})(?:/.*)?")
    names = Rule(AllButPost("/"), tornado_celery.TaskNames, argument)
    return [names, Rule(beginning, [*ours, *docs_page.routes()])]


class AllButPost(PathMatches):
    """Matches all requests to a path but POST, which it leaves to the application's own handlers."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Compare a request, as Tornado's ``match``."""
        return super().match(request) if request.method != "POST" else None
