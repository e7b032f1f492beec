"""The bodies of calls in ``/openapi.json``: what each task takes, as JSON schemas (OpenAPI 3.1). Pure."""

from __future__ import annotations

from inspect import Parameter
from typing import Any

from ringback.api.arguments import POSITIONAL
from ringback.api.call_body import Options
from ringback.api.canvas import CanvasBody
from ringback.api.openapi_schemas import PROBLEM, RUN, Document, body
from ringback.api.task_catalogue import KnownTask

#: The most parameters that are described by position, too; each adds a way to divide them between args and kwargs.
DIVIDED = 6


class Calls:
    """The parts of the document that depend on the tasks.

    :param queues: the queues that a caller may choose.
    :param max_delay: seconds that a call may be ahead.
    """

    def __init__(self, tasks: list[KnownTask], queues: list[str], max_delay: float) -> None:
        self.tasks, self.names = tasks, [task.name for task in tasks]
        options = Options.model_json_schema()
        options["properties"]["queue"] = {"enum": [*queues, None]}
        number, _ = options["properties"]["countdown"]["anyOf"]
        number["maximum"] = min(number["maximum"], max_delay)
        options["properties"]["eta"]["description"] = f"no later than {max_delay:g} seconds from now"
        del options["title"]
        steps = CanvasBody.model_json_schema(ref_template="#/components/schemas/{model}")["$defs"]
        steps["CallStep"]["properties"]["task"] = {"enum": self.names}
        self.schemas: dict[str, Document] = {**steps, "Options": options, "Run": RUN, "Problem": PROBLEM}

    def body_of(self, task: KnownTask) -> Document:
        """The body that calls one task."""
        return body({"anyOf": self.of(task)})

    def any_body(self) -> Document:
        """The body that names its task."""
        bodies = [call for task in self.tasks for call in self.of(task, task={"const": task.name})]
        return body({"anyOf": bodies or [False]})

    def apply_body(self) -> Document:
        """The body of tornado-celery's routes, with the options beside the arguments."""
        options = self.schemas["Options"]["properties"]
        timeout = {"type": "number", "minimum": 0}
        properties = {"args": {"type": "array"}, "kwargs": {"type": "object"}, "timeout": timeout, **options}
        return body({"type": "object", "properties": properties, "additionalProperties": False})

    def of(self, task: KnownTask, /, **more: Document) -> list[Document]:
        """The bodies that a call of a task may have: the parameters by name, or the first ones by position."""
        if task.arguments is None:
            return [self._call_body({"type": "array"}, {"type": "object"}, **more)]
        by_name = task.arguments.schema(f"#/components/schemas/{task.name}.{{model}}")
        self.schemas |= {f"{task.name}.{name}": schema for name, schema in by_name.pop("$defs", {}).items()}
        variable = [p for p in task.arguments.parameters if p.kind is Parameter.VAR_POSITIONAL]
        rest = by_name["properties"].pop(variable[0].name)["items"] if variable else False
        ordered = [p.name for p in task.arguments.parameters if p.kind in POSITIONAL]
        only = [p.name for p in task.arguments.parameters if p.kind is Parameter.POSITIONAL_ONLY]
        divisions = range(len(only), min(len(ordered), DIVIDED) + 1)
        return [
            self._call_body(
                _first(by_name, ordered[:n], rest if n == len(ordered) else False),
                _without(by_name, ordered[:n]),
                **more,
            )
            for n in divisions
        ]

    def _call_body(self, args: Document, kwargs: Document, /, **more: Document) -> Document:
        """The body of a call with these arguments."""
        needed = [*more, *(["args"] if args.get("minItems") else []), *(["kwargs"] if kwargs.get("required") else [])]
        options = {"$ref": "#/components/schemas/Options"}
        properties = {**more, "args": args, "kwargs": kwargs, "options": options}
        return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def _first(by_name: Document, names: list[str], rest: Any) -> Document:
    """The schema of ``args`` that has these parameters, and perhaps more."""
    schema: Document = {"type": "array", "minItems": len(names), "items": rest}
    if names:
        schema["prefixItems"] = [by_name["properties"][name] for name in names]
    return schema


def _without(by_name: Document, names: list[str]) -> Document:
    """The schema of ``kwargs`` where ``args`` has these parameters."""
    properties = {name: schema for name, schema in by_name["properties"].items() if name not in names}
    required = [name for name in by_name.get("required", ()) if name not in names]
    return {**by_name, "properties": properties, "required": required}
