"""How the body of a canvas is read: its shape, its tasks, and where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from ringback.api.canvas_reader import DEEPEST, MOST, assemble, read_canvas
from ringback.errors import BadArguments, BadRequest
from ringback.runs import Chain, Chord, Group, Member, TaskCall

TASK = {"task": "a"}


def nested(depth: int, step: object = TASK) -> Any:
    for _ in range(depth):
        step = {"chain": [step]}
    return step


@pytest.mark.parametrize(
    ("canvas", "found"),
    [
        ({"chain": [TASK]}, [("chain.0", 0)]),
        ({"chain": [TASK, TASK]}, [("chain.0", 0), ("chain.1", 1)]),
        ({"group": [TASK, TASK]}, [("group.0", 0), ("group.1", 0)]),
        ({"chain": [TASK, {"group": [TASK]}]}, [("chain.0", 0), ("chain.1.group.0", 1)]),
        (
            {"chain": [TASK, {"chord": {"header": [TASK, TASK], "body": TASK}}]},
            [("chain.0", 0), ("chain.1.chord.header.0", 1), ("chain.1.chord.header.1", 1), ("chain.1.chord.body", 1)],
        ),
        ({"group": [{"task": "a", "args": [{"chain": 1}]}]}, [("group.0", 0)]),
        (nested(DEEPEST), [(".".join(["chain.0"] * DEEPEST), 0)]),
    ],
)
def test_the_tasks_of_a_canvas_are_found(canvas: Any, found: list[tuple[str, int]]) -> None:
    assert [(str(task), task.before) for task in read_canvas(canvas)] == found


@pytest.mark.parametrize(
    ("canvas", "path"),
    [
        (None, "body"),
        ([], "body"),
        ({}, "body"),
        (TASK, "body"),
        ({"chain": [TASK], "group": [TASK]}, "body"),
        ({"chain": [TASK], "task": "a"}, "body"),
        ({"chain": TASK}, "chain"),
        ({"chain": []}, "chain"),
        ({"chain": [1]}, "chain.0"),
        ({"chain": [TASK, {"group": [TASK, "a"]}]}, "chain.1.group.1"),
        ({"chain": [TASK, {"group": [TASK], "args": []}]}, "chain.1"),
        ({"group": [TASK] * (MOST + 1)}, "group"),
        ({"chord": [TASK]}, "chord"),
        ({"chord": {"header": [TASK]}}, "chord"),
        ({"chord": {"header": TASK, "body": TASK}}, "chord.header"),
        ({"chord": {"header": [TASK], "body": [TASK]}}, "chord.body"),
        ({"chord": {"header": [TASK], "body": {"chain": [TASK]}}}, "chord.body"),
        (nested(DEEPEST + 1), ".".join(["chain.0"] * DEEPEST)),
        (nested(DEEPEST + 50), ".".join(["chain.0"] * DEEPEST)),
    ],
)
def test_an_error_says_where_it_is(canvas: object, path: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read_canvas(canvas)
    assert raised.value.detail.startswith(f"{path}: ")


def test_tasks_are_counted_over_all_lists() -> None:
    assert len(read_canvas({"group": [{"group": [TASK] * (MOST // 2)}] * 2})) == MOST
    for one_more in ({"group": [{"group": [TASK] * MOST}, TASK]}, {"chord": {"header": [TASK] * MOST, "body": TASK}}):
        with pytest.raises(BadArguments, match=str(MOST)):
            read_canvas(one_more)


def test_a_canvas_is_assembled_of_its_checked_tasks() -> None:
    canvas: Any = {"chain": [TASK, {"group": [TASK, TASK]}, {"chord": {"header": [TASK], "body": TASK}}]}
    a, b, c, d, e = (Member(TaskCall("a", [], {}), str(number)) for number in range(5))

    assert assemble(canvas, iter([a, b, c, d, e])) == Chain([a, Group([b, c]), Chord(Group([d]), e)])
