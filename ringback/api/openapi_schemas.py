"""The parts of ``/openapi.json`` that do not depend on the tasks (OpenAPI 3.1). Pure data."""

from __future__ import annotations

from typing import Any

from ringback.api.runs import ID
from ringback.runs import State

Document = dict[str, Any]

#: What can go wrong with any request, and with one that has a task run.
ALWAYS = {400: "the request cannot be read", 401: "no known token", 403: "not allowed", 413: "the body is too large"}
CALLING = {
    404: "no such task",
    409: "the task was revoked",
    410: "the run is no longer kept",
    415: "the body is not JSON",
    422: "the arguments do not fit, or the key stands for another request",
    429: "too many calls",
    500: "the task failed",
    502: "its result cannot be read",
    503: "not made; try again",
    504: "not started or not ended in time",
}
FINDING = {404: "no such run", 410: "the run is no longer kept", 503: "the store cannot be reached"}


def ref(name: str) -> Document:
    """A schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def answer(schema: Document, description: str) -> Document:
    """A response that is JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def body(schema: Document) -> Document:
    """A request that is JSON."""
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def problems(statuses: dict[int, str]) -> dict[str, Document]:
    """The responses that are problem documents."""
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {
        str(status): {"description": why, "content": content} for status, why in sorted({**ALWAYS, **statuses}.items())
    }


def header(name: str, schema: Document) -> Document:
    """A header that a request may have."""
    return {"name": name, "in": "header", "schema": schema}


def query(name: str, schema: Document, description: str) -> Document:
    """A parameter of the query."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def path(name: str, schema: Document) -> Document:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


TEXT = {"type": "string"}
PLAIN = {"200": {"description": "as text", "content": {"text/plain": {"schema": TEXT}}}} | problems({})
ID_PARAMETER = path("id", {"type": "string", "pattern": f"^{ID.pattern}$"})
CALL_HEADERS = [
    header("Prefer", {"type": "string", "examples": ["wait=5", "respond-async"]}),
    header("Cancel-After", {"type": "number", "exclusiveMinimum": 0, "maximum": 10**9}),
]
KEY = header("Idempotency-Key", {"type": "string", "pattern": "^[!#-~]{1,255}$"})
RUN = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "task": TEXT,
        "state": {"enum": list(dict.fromkeys(state.shown for state in State if state is not State.REFUSED))},
        "timestamps": {"type": "object", "additionalProperties": {"type": "string", "format": "date-time"}},
        "links": {"type": "object", "additionalProperties": TEXT},
        "progress": {},
        "result": {},
        "error": {"$ref": "#/components/schemas/Problem"},
    },
    "required": ["id", "task", "state", "timestamps", "links"],
    "additionalProperties": False,
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "id": TEXT},
    "required": ["type", "title", "status"],
}
COUNT = {"type": "integer", "minimum": 0}
QUEUE = {"name": TEXT, "messages": COUNT, "consumers": {**COUNT, "type": ["integer", "null"]}}
QUEUES = {
    "type": "object",
    "properties": {"queues": {"type": "array", "items": {"type": "object", "properties": QUEUE}}},
    "required": ["queues"],
}
CALL_RESPONSES = {
    "200": answer(ref("Run"), "the run, with its result"),
    "202": {
        **answer(ref("Run"), "the run goes on, and is found at Location"),
        "headers": {"Location": {"schema": TEXT}, "Retry-After": {"schema": {"type": "integer"}}},
    },
} | problems(CALLING)
