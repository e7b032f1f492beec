"""``/openapi.json``: the interface described for machines (OpenAPI 3.1), made from the routes and the tasks."""

from __future__ import annotations

import json
from inspect import Parameter
from typing import Any

from ringback.api.arguments import POSITIONAL
from ringback.api.canvas import CanvasBody
from ringback.api.gateway import Gateway
from ringback.api.handler import ApiHandler
from ringback.api.openapi_schemas import (
    CALL_HEADERS,
    CALL_RESPONSES,
    CALLING,
    FINDING,
    ID_PARAMETER,
    KEY,
    OPERATIONS,
    PLAIN,
    PROBLEM,
    RUN,
    Document,
    answer,
    body,
    header,
    path,
    problems,
    query,
    ref,
)
from ringback.api.task_catalogue import KnownTask
from ringback.api.tasks import Options

#: More parameters than this are described by name only; each adds a way to divide them between args and kwargs.
DIVIDED = 6


class OpenApi(ApiHandler):
    """``GET /openapi.json``."""

    def get(self) -> None:
        """The description, with the tasks that the caller may call."""
        self.answer(self.gateway.descriptions[self.caller])


def prepare(gateway: Gateway) -> None:
    """Describe the tasks, for each caller, now: a millisecond or two for each would hold up the loop later."""
    for caller in gateway.access.callers:
        tasks = gateway.tasks.all(caller)
        gateway.descriptions[caller] = json.dumps(describe(tasks, gateway.switchboard.queues.names))


def describe(tasks: list[KnownTask], queues: list[str]) -> Document:
    """The OpenAPI document of an interface to these tasks.

    :param queues: those that a caller may choose.
    """
    names = [task.name for task in tasks]
    description = Description(names, queues)
    paths: dict[str, Document] = {f"/v1/tasks/{task.name}": description.task(task) for task in tasks}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ringback", "version": "1", "description": "Celery tasks, held until they ring back."},
        "paths": paths | description.runs(tasks) | description.tornado_celery(names) | OPERATIONS,
        "components": {
            "schemas": description.schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


class Description:
    """The parts of the document that depend on the tasks."""

    def __init__(self, names: list[str], queues: list[str]) -> None:
        options = Options.model_json_schema()
        options["properties"]["queue"] = {"enum": [*queues, None]}
        del options["title"]
        steps = CanvasBody.model_json_schema(ref_template="#/components/schemas/{model}")["$defs"]
        steps["CallStep"]["properties"]["task"] = {"enum": names}
        self.schemas: dict[str, Document] = {**steps, "Options": options, "Run": RUN, "Problem": PROBLEM}

    def task(self, task: KnownTask) -> Document:
        """The path of one task."""
        summary = task.doc.partition("\n")[0] or task.name
        call = {
            "summary": summary,
            "tags": ["tasks"],
            "parameters": [*CALL_HEADERS, KEY],
            "requestBody": body({"anyOf": self.calls(task)}),
            "responses": CALL_RESPONSES,
        }
        look = {
            "summary": f"What {task.name} takes",
            "tags": ["tasks"],
            "responses": {"200": answer({"type": "object"}, "the task")} | problems({404: CALLING[404]}),
        }
        return {"get": look, "post": call}

    def calls(self, task: KnownTask, /, **more: Document) -> list[Document]:
        """The bodies that a call may have: the parameters by name, or the first ones by position."""
        if task.arguments is None:
            return [self.call_body({"type": "array"}, {"type": "object"}, **more)]
        by_name = task.arguments.schema(f"#/components/schemas/{task.name}.{{model}}")
        self.schemas |= {f"{task.name}.{name}": schema for name, schema in by_name.pop("$defs", {}).items()}
        variable = [p for p in task.arguments.parameters if p.kind is Parameter.VAR_POSITIONAL]
        rest = by_name["properties"].pop(variable[0].name)["items"] if variable else False
        ordered = [p.name for p in task.arguments.parameters if p.kind in POSITIONAL]
        only = [p.name for p in task.arguments.parameters if p.kind is Parameter.POSITIONAL_ONLY]
        divisions = range(len(only), min(len(ordered), DIVIDED) + 1)
        return [
            self.call_body(
                first(by_name, ordered[:n], rest if n == len(ordered) else False), without(by_name, ordered[:n]), **more
            )
            for n in divisions
        ]

    def call_body(self, args: Document, kwargs: Document, /, **more: Document) -> Document:
        """The body of a call with these arguments."""
        needed = [*more, *(["args"] if args.get("minItems") else []), *(["kwargs"] if kwargs.get("required") else [])]
        options = {"$ref": "#/components/schemas/Options"}
        properties = {**more, "args": args, "kwargs": kwargs, "options": options}
        return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}

    def runs(self, tasks: list[KnownTask]) -> dict[str, Document]:
        """The paths of the runs."""
        bodies = [call for task in tasks for call in self.calls(task, task={"const": task.name})]
        seconds = {"type": "number", "minimum": 0, "maximum": 10**9}
        found = {"200": answer(ref("Run"), "it has ended"), "202": answer(ref("Run"), "it goes on")}
        missing = problems(FINDING)
        return {
            "/v1/runs/{id}": {
                "parameters": [ID_PARAMETER],
                "get": {
                    "summary": "A run's state, and its result",
                    "tags": ["runs"],
                    "parameters": [query("wait", seconds, "seconds to wait for its end")],
                    "responses": found | missing,
                },
                "put": {
                    "summary": "Make a run under the caller's own id",
                    "tags": ["runs"],
                    "parameters": CALL_HEADERS,
                    "requestBody": body({"anyOf": bodies or [False]}),
                    "responses": CALL_RESPONSES,
                },
                "delete": {
                    "summary": "Cancel a run",
                    "tags": ["runs"],
                    "parameters": [query("terminate", {"enum": ["true", "false"]}, "stop it even if it is running")],
                    "responses": found | missing,
                },
            },
            "/v1/canvas": {
                "post": {
                    "summary": "Make a run of several tasks: a chain, a group or a chord",
                    "tags": ["tasks"],
                    "parameters": [*CALL_HEADERS, KEY],
                    "requestBody": body({"anyOf": [ref("ChainStep"), ref("GroupStep"), ref("ChordStep")]}),
                    "responses": CALL_RESPONSES,
                },
            },
            "/v1/runs/{id}/events": {
                "parameters": [ID_PARAMETER],
                "get": {
                    "summary": "Follow a run by server-sent events: state, progress, result",
                    "tags": ["runs"],
                    "parameters": [header("Last-Event-ID", {"type": "string", "pattern": "^[0-9]{0,9}$"})],
                    "responses": {
                        "200": {"description": "the events", "content": {"text/event-stream": {}}},
                        "204": {"description": "it has ended, and there are no more"},
                    }
                    | missing,
                },
            },
        }

    def tornado_celery(self, names: list[str]) -> dict[str, Document]:
        """The paths that tornado-celery had."""
        options = self.schemas["Options"]["properties"]
        timeout = {"type": "number", "minimum": 0}
        properties = {"args": {"type": "array"}, "kwargs": {"type": "object"}, "timeout": timeout, **options}
        call = {"type": "object", "properties": properties, "additionalProperties": False}
        name = path("name", {"enum": names})
        ok = {"200": answer({"type": "object", "required": ["task-id"]}, "the task's id, and what came of it")}
        calling = {"tags": ["tornado-celery"], "requestBody": body(call), "responses": ok | problems(CALLING)}
        finding = {"tags": ["tornado-celery"], "responses": ok | problems(FINDING)}
        return {
            "/": {"get": {"summary": "The tasks' names", "tags": ["tornado-celery"], "responses": PLAIN}},
            "/apply/{name}/": {"parameters": [name], "post": {"summary": "Call a task, and wait", **calling}},
            "/apply-async/{name}/": {"parameters": [name], "post": {"summary": "Call a task", **calling}},
            "/tasks/result/{id}/": {"parameters": [ID_PARAMETER], "get": {"summary": "A task's result", **finding}},
            "/tasks/revoke/{id}/": {"parameters": [ID_PARAMETER], "delete": {"summary": "Revoke a task", **finding}},
        }


def first(by_name: Document, names: list[str], rest: Any) -> Document:
    """The schema of ``args`` that has these parameters, and perhaps more."""
    schema: Document = {"type": "array", "minItems": len(names), "items": rest}
    if names:
        schema["prefixItems"] = [by_name["properties"][name] for name in names]
    return schema


def without(by_name: Document, names: list[str]) -> Document:
    """The schema of ``kwargs`` where ``args`` has these parameters."""
    properties = {name: schema for name, schema in by_name["properties"].items() if name not in names}
    required = [name for name in by_name.get("required", ()) if name not in names]
    return {**by_name, "properties": properties, "required": required}
