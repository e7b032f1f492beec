"""Reads the body of a canvas: its shape, and where its tasks are. Pure.

Pydantic is not used for the shape: a validator of a recursive union tries each kind for each step, again at each depth,
and a canvas of 40 kB holds it for seconds. This reader looks at each step once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringback.errors import BadArguments, BadRequest
from ringback.runs import Chain, Chord, Group, Member, Step

#: The most tasks of one canvas, and the most steps of a list.
MOST = 1000

#: The most canvases within one another.
DEEPEST = 16

KINDS = ("chain", "group", "chord")


#: Where a step is: the path of the canvas around it, and the key or number in that. Written out for errors only.
Path = tuple[Any, ...]


@dataclass(frozen=True)
class FoundTask:
    """A task of a canvas, not validated yet.

    :param before: how many arguments it gets from the step before it.
    """

    path: Path
    document: dict[str, Any]
    before: int

    def __str__(self) -> str:
        return _written(self.path)


def read_canvas(document: object) -> list[FoundTask]:
    """Check the shape of a canvas, and find its tasks, in the order in which they were written.

    :raises BadRequest: it is no canvas, or nested too deeply.
    :raises BadArguments: it has more than MOST tasks.
    """
    if not isinstance(document, dict) or _kind(document, ()) is None:
        raise BadRequest(f"body: expected an object with one of {', '.join(KINDS)}")
    found: list[FoundTask] = []
    _find(found, document, (), 0, 1)
    return found


def assemble(document: dict[str, Any], members: Iterator[Member]) -> Step:
    """Build the tree of a canvas.

    :param document: a canvas that ``read_canvas`` has read, or a step of it.
    :param members: its tasks, checked, in the same order.
    """
    kind = _kind(document, ())
    if kind is None:
        return next(members)
    parts = document[kind]
    if kind == "chord":
        header = Group([assemble(step, members) for step in parts["header"]])
        return Chord(header, assemble(parts["body"], members))
    steps = [assemble(step, members) for step in parts]
    return Chain(steps) if kind == "chain" else Group(steps)


def _find(found: list[FoundTask], step: object, path: Path, before: int, depth: int) -> None:
    """Find the tasks of a step, which is the ``depth``-th canvas within another if it is one."""
    if not isinstance(step, dict):
        raise BadRequest(f"{_written(path)}: expected an object")
    kind = _kind(step, path)
    if kind is None:
        _add(found, FoundTask(path, step, before))
        return
    if depth > DEEPEST:
        raise BadRequest(f"{_written(path)}: a canvas has up to {DEEPEST} canvases within one another")
    path = (path, kind)
    if kind == "chord":
        _find_in_chord(found, step[kind], path, before, depth)
        return
    for number, each in enumerate(_list(step[kind], path)):
        _find(found, each, (path, number), 1 if kind == "chain" and number else before, depth + 1)


def _find_in_chord(found: list[FoundTask], parts: object, path: Path, before: int, depth: int) -> None:
    if not isinstance(parts, dict) or parts.keys() != {"header", "body"}:
        raise BadRequest(f"{_written(path)}: expected an object with header and body")
    header, end = (path, "header"), (path, "body")
    for number, each in enumerate(_list(parts["header"], header)):
        _find(found, each, (header, number), before, depth + 1)
    body = parts["body"]
    if not isinstance(body, dict) or _kind(body, end) is not None:
        raise BadRequest(f"{_written(end)}: expected one task")
    _add(found, FoundTask(end, body, 1))


def _add(found: list[FoundTask], task: FoundTask) -> None:
    if len(found) == MOST:
        raise BadArguments(f"a canvas has up to {MOST} tasks")
    found.append(task)


def _list(steps: object, path: Path) -> list[Any]:
    if not isinstance(steps, list) or not 1 <= len(steps) <= MOST:
        raise BadRequest(f"{_written(path)}: expected a list of 1 to {MOST} steps")
    return steps


def _kind(step: dict[str, Any], path: Path) -> str | None:
    """Which canvas a step is; ``None`` for a task.

    :raises BadRequest: it has something else beside.
    """
    if len(step) == 1:
        [key] = step
        return key if key in KINDS else None
    if not step.keys().isdisjoint(KINDS):
        raise BadRequest(f"{_written(path)}: expected one of {', '.join(KINDS)} and nothing else")
    return None


def _written(path: Path) -> str:
    parts: list[str] = []
    while path:
        path, last = path
        parts.append(str(last))
    return ".".join(reversed(parts)) or "body"
