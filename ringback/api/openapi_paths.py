"""What ``/openapi.json`` says of each method of each route, beside its summary (OpenAPI 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringback.api.openapi_calls import Calls
from ringback.api.openapi_schemas import (
    CALL_HEADERS,
    CALL_RESPONSES,
    CALLING,
    FINDING,
    ID_PARAMETER,
    KEY,
    PLAIN,
    QUEUES,
    TEXT,
    Document,
    answer,
    body,
    header,
    path,
    problems,
    query,
    ref,
)

SECONDS = {"type": "number", "minimum": 0, "maximum": 10**9}
OBJECT = {"type": "object"}
FOUND = {"200": answer(ref("Run"), "it has ended"), "202": answer(ref("Run"), "it goes on")} | problems(FINDING)
FLAG = {"enum": ["true", "false"]}
CANCEL = [
    query("terminate", FLAG, "stop it even if it is running"),
    query("forget", FLAG, "erase all that is kept of it"),
]
TICKET = {"ticket": TEXT, "expires_in": {"type": "integer", "description": "seconds"}}
TICKETS = {"201": answer({"type": "object", "properties": TICKET, "required": [*TICKET]}, "a ticket")} | problems(
    {429: CALLING[429]}
)
LAST_EVENT = header("Last-Event-ID", {"type": "string", "pattern": "^[0-9]{0,9}$"})
EVENTS = {
    "200": {"description": "the events", "content": {"text/event-stream": {}}},
    "204": {"description": "it has ended, and there are no more"},
} | problems(FINDING)
METRICS = {"200": {"description": "the metrics", "content": {"text/plain": {"schema": TEXT}}}} | problems({})
CANVAS_BODY = body({"anyOf": [ref("ChainStep"), ref("GroupStep"), ref("ChordStep")]})
TASK_ID = {"200": answer({"type": "object", "required": ["task-id"]}, "the task's id, and its state")}


def _does(tag: str, responses: Document, **more: Any) -> Callable[[Calls], Document]:
    """A method whose description does not depend on the tasks."""
    return lambda calls: {"tags": [tag], **more, "responses": responses}


def _put(calls: Calls) -> Document:
    return {
        "tags": ["runs"],
        "parameters": CALL_HEADERS,
        "requestBody": calls.any_body(),
        "responses": CALL_RESPONSES,
    }


def _apply(calls: Calls) -> Document:
    return {
        "tags": ["tornado-celery"],
        "requestBody": calls.apply_body(),
        "responses": TASK_ID | problems(CALLING),
    }


DETAILS: dict[tuple[str, str], Callable[[Calls], Document]] = {
    ("/v1/tasks", "GET"): _does("tasks", {"200": answer(OBJECT, "the tasks")} | problems({})),
    ("/v1/tasks/{name}", "GET"): _does("tasks", {"200": answer(OBJECT, "the task")} | problems({404: CALLING[404]})),
    ("/v1/tasks/{name}", "POST"): _does("tasks", CALL_RESPONSES, parameters=[*CALL_HEADERS, KEY]),
    ("/v1/runs/{id}", "GET"): _does("runs", FOUND, parameters=[query("wait", SECONDS, "seconds to wait for its end")]),
    ("/v1/runs/{id}", "PUT"): _put,
    ("/v1/runs/{id}", "DELETE"): _does("runs", {**FOUND, "204": {"description": "erased"}}, parameters=CANCEL),
    ("/v1/runs/{id}/events", "GET"): _does("runs", EVENTS, parameters=[LAST_EVENT]),
    ("/v1/canvas", "POST"): _does("tasks", CALL_RESPONSES, parameters=[*CALL_HEADERS, KEY], requestBody=CANVAS_BODY),
    ("/v1/queues", "GET"): _does(
        "operations",
        {"200": answer(QUEUES, "the queues that exist")} | problems({503: "the broker cannot be asked"}),
    ),
    ("/v1/tickets", "POST"): _does("operations", TICKETS),
    ("/livez", "GET"): _does("operations", {"200": answer(OBJECT, "yes")} | problems({})),
    ("/readyz", "GET"): _does("operations", {"200": answer(OBJECT, "yes")} | problems({503: "no"})),
    ("/metrics", "GET"): _does("operations", METRICS),
    ("/", "GET"): _does("tornado-celery", PLAIN),
    ("/apply/{name}/", "POST"): _apply,
    ("/apply-async/{name}/", "POST"): _apply,
    ("/tasks/result/{id}/", "GET"): _does("tornado-celery", TASK_ID | problems(FINDING)),
    ("/tasks/revoke/{id}/", "DELETE"): _does("tornado-celery", TASK_ID | problems(FINDING)),
}


def details(route: str, method: str, calls: Calls) -> Document:
    """Everything about one method of a route but its summary."""
    return DETAILS[route, method](calls)


def parameters(route: str, calls: Calls) -> list[Document]:
    """The parameters of a route's path."""
    found = [ID_PARAMETER] if "{id}" in route else []
    return [*found, path("name", {"enum": calls.names})] if "{name}" in route else found
