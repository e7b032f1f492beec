"""``POST /v1/canvas``: chains, groups and chords as one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from client import Client, call, events, get, nothing_left_behind, run, send
from stack import Web

TASKS = "misbehaving_tasks"


def step(task: str, *args: object, **options: object) -> dict[str, object]:
    return {"task": task, "args": args, "options": options}


@pytest.fixture(params=["web", "web_on_redis", "web_with_redis_broker"])
def url(request: pytest.FixtureRequest) -> str:
    server: Web = request.getfixturevalue(request.param)
    return server.url


ADDITIONS = [step("add", number, number) for number in range(5)]


@pytest.mark.parametrize(
    ("canvas", "result"),
    [
        ({"chain": [step("add", 1, 2)]}, 3),
        ({"chain": [step("add", 1, 2), step("add", 10), step("add", 100)]}, 113),
        ({"group": ADDITIONS}, [0, 2, 4, 6, 8]),
        ({"group": [step("add", 1, 2), {"chain": [step("add", 1, 2), step("add", 10)]}]}, [3, 13]),
        ({"chain": [step("add", 1, 2), {"group": [step("add", 10), step("add", 20)]}]}, [13, 23]),
    ],
)
def test_a_canvas_is_answered_with_its_result(url: str, canvas: object, result: object) -> None:
    answer = send(url, "/v1/canvas", canvas)

    assert answer.status == 200
    assert (answer.json["state"], answer.json["result"]) == ("SUCCESS", result)
    assert get(url, answer.json["links"]["self"]).body == answer.body
    assert get(url, "/readyz").status == 200


def test_the_stream_reports_every_member(url: str) -> None:
    made = send(url, "/v1/canvas", {"chain": [step(f"{TASKS}.report", 2), step("add", 1)]}, Prefer="respond-async")

    received = events(get(url, made.json["links"]["events"]))

    members = [(data["member"], data["state"]) for _, name, data in received if name == "member"]
    for number, states in enumerate([["STARTED", "PROGRESS", "PROGRESS", "SUCCESS"], ["SUCCESS"]]):
        assert [state for member, state in members if member == number] == states
    assert received[-1][1] == "result"
    assert received[-1][2]["result"] == 3


def test_a_chain_ends_with_its_first_failure(url: str) -> None:
    answer = send(url, "/v1/canvas", {"chain": [step("error", "went wrong"), step(f"{TASKS}.count_and_sleep", 1)]})

    assert answer.status == 500
    assert answer.json["exception"] == {"class": "Exception", "message": "went wrong"}
    received = events(get(url, f"/v1/runs/{answer.json['id']}/events"))
    assert {data["member"] for _, name, data in received if name == "member"} == {0}


def test_a_group_with_a_failure_fails_when_all_have_ended(url: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    other = step(f"{TASKS}.count_and_sleep", str(path), 1)
    answer = send(url, "/v1/canvas", {"group": [step("error", "went wrong"), other]})

    assert answer.status == 500
    assert path.read_text() == "begun\nended\n"


CHORD = {"chord": {"header": ADDITIONS, "body": step(f"{TASKS}.give")}}


def test_a_chord_gets_the_results_of_its_header(web_on_redis: Web) -> None:
    answer = send(web_on_redis.url, "/v1/canvas", CHORD)

    assert (answer.status, answer.json["result"]) == (200, [0, 2, 4, 6, 8])


def test_a_group_in_the_middle_of_a_chain_is_a_chord(web_on_redis: Web) -> None:
    canvas = {"chain": [{"group": ADDITIONS}, step(f"{TASKS}.give")]}

    assert send(web_on_redis.url, "/v1/canvas", canvas).json["result"] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("canvas", [CHORD, {"chain": [{"group": ADDITIONS}, step(f"{TASKS}.give")]}])
def test_a_chord_is_422_if_the_backend_cannot_count(web: Web, canvas: object) -> None:
    answer = send(web.url, "/v1/canvas", canvas)

    assert answer.status == 422
    assert "RESULT_BACKEND" in answer.json["detail"]
    run(nothing_left_behind(Client(web.url)))


@pytest.mark.parametrize(
    ("canvas", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"chain": []}, 400),
        ({"chain": [step("add", 1, 2)], "group": []}, 400),
        ({"pipeline": [step("add", 1, 2)]}, 400),
        ({"chain": [{"args": [1]}]}, 400),
        ({"chain": [step("nothing")]}, 404),
        ({"chain": [step("celery.backend_cleanup")]}, 404),
        ({"chain": [step("add", 1)]}, 422),
        ({"chain": [step("add", 1, 2), step("add", 1, 2)]}, 422),
        ({"chain": [step("add", 1, 2), step("add", None)]}, 422),
        ({"group": [step("add", 1, 2), step(f"{TASKS}.keep_it_to_yourself")]}, 422),
        ({"group": [step("add", 1, 2)] * 1001}, 400),
        ({"group": [{"group": [step("add", 1, 2)] * 501}] * 2}, 422),
    ],
)
def test_a_canvas_that_cannot_run_is_refused(web: Web, canvas: Any, status: int) -> None:
    assert send(web.url, "/v1/canvas", canvas).status == status


def test_a_canvas_is_repeated_by_its_key(url: str) -> None:
    canvas = {"group": [step("add", 1, 2)]}

    first, second = (send(url, "/v1/canvas", canvas, Idempotency_Key="canvas") for _ in range(2))

    assert first.body == second.body
    assert send(url, "/v1/canvas", {"group": [step("add", 1, 3)]}, Idempotency_Key="canvas").status == 422


def test_a_large_group_is_answered_whole(url: str) -> None:
    answer = send(url, "/v1/canvas", {"group": [step("add", number, 1) for number in range(500)]})

    assert answer.json["result"] == [number + 1 for number in range(500)]


def test_a_plain_call_is_no_canvas(web: Web) -> None:
    assert call(web.url, "canvas").status == 404
    assert json.loads(get(web.url, "/v1/canvas").body)["status"] == 405
