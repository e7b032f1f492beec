"""``/openapi.json``: the interface described for machines (OpenAPI 3.1), made from the route table and the tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ringback.api.gateway import Gateway
from ringback.api.handler import ApiHandler
from ringback.api.openapi_calls import Calls
from ringback.api.openapi_paths import details, parameters
from ringback.api.openapi_schemas import Document
from ringback.api.route import Route
from ringback.api.task_catalogue import KnownTask
from ringback.web import Caller, Tokens

#: Descriptions that are kept, each for other patterns of tasks.
DESCRIPTIONS_KEPT = 100

TASK_PATH = "/v1/tasks/{name}"


class OpenApi(ApiHandler):
    """Answers ``GET /openapi.json``."""

    def get(self) -> None:
        """Answer with the description, which lists the tasks that the caller may call."""
        self.answer(description(self.gateway, self.gateway.routes, self.caller))


def prepare(gateway: Gateway, routes: Sequence[Route]) -> None:
    """Describe the tasks for each caller that is known already: later it would hold the loop for some milliseconds."""
    gateway.routes = routes
    if isinstance(gateway.access, Tokens):
        for caller in gateway.access.callers:
            description(gateway, routes, caller)


def description(gateway: Gateway, routes: Sequence[Route], caller: Caller) -> str:
    """The document for a caller."""
    known = gateway.descriptions
    if caller.patterns not in known:
        if len(known) >= DESCRIPTIONS_KEPT:
            del known[next(iter(known))]
        document = describe(
            routes, gateway.tasks.all(caller), gateway.switchboard.queue_names, gateway.settings.max_delay
        )
        known[caller.patterns] = json.dumps(document)
    return known[caller.patterns]


def describe(routes: Sequence[Route], tasks: list[KnownTask], queues: list[str], max_delay: float) -> Document:
    """Make the OpenAPI document of an interface to these tasks.

    :param queues: the queues that a caller may choose.
    :param max_delay: seconds that a call may be ahead.
    """
    calls = Calls(tasks, queues, max_delay)
    paths: dict[str, Document] = {}
    for route in routes:
        if route.path == TASK_PATH:
            paths |= {f"/v1/tasks/{task.name}": _path_of_task(task, route, calls) for task in tasks}
        elif route.described:
            paths[route.path] = _path(route, calls)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ringback", "version": "1", "description": "Celery tasks, held until they ring back."},
        "paths": paths,
        "components": {
            "schemas": calls.schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _path(route: Route, calls: Calls) -> Document:
    operations = {
        method.lower(): {"summary": summary, **details(route.path, method, calls)}
        for method, summary in route.methods.items()
    }
    shared = parameters(route.path, calls)
    return {"parameters": shared, **operations} if shared else operations


def _path_of_task(task: KnownTask, route: Route, calls: Calls) -> Document:
    call = details(route.path, "POST", calls)
    look = details(route.path, "GET", calls)
    summary = task.doc.partition("\n")[0] or task.name
    return {
        "get": {"summary": f"What {task.name} takes", **look},
        "post": {"summary": summary, **call, "requestBody": calls.body_of(task)},
    }
