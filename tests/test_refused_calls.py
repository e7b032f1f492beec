"""Calls that are refused for what they would do to a worker, and what a refusal costs its caller."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from client import Answer, get, run, send, websocket
from ringback.api.typed_json import refuse_typed_json
from ringback.errors import BadArguments
from stack import Web

GIVE = "misbehaving_tasks.give"

#: Every way to call a task, with a place for its arguments and options.
Way = tuple[str, str, str]
WAYS: dict[str, Way] = {
    "task": ("POST", f"/v1/tasks/{GIVE}", '{"args":[%(arg)s],"options":{%(options)s}}'),
    "run": ("PUT", "/v1/runs/refused", '{"task":"misbehaving_tasks.give","args":[%(arg)s],"options":{%(options)s}}'),
    "apply": ("POST", f"/apply/{GIVE}/", '{"args":[%(arg)s],%(options)s}'),
    "apply-async": ("POST", f"/apply-async/{GIVE}/", '{"args":[%(arg)s],%(options)s}'),
    "canvas": (
        "POST",
        "/v1/canvas",
        '{"group":[{"task":"echo","args":["a"]},'
        '{"task":"misbehaving_tasks.give","args":[%(arg)s],"options":{%(options)s}}]}',
    ),
}
SOCKET = '{"id":"a","task":"misbehaving_tasks.give","args":[%(arg)s],"options":{%(options)s}}'


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with Web() as web:
        yield web
        assert "Traceback" not in web.output


def ask(web: Web, way: Way, arg: str = "1", options: str = '"priority":1') -> Answer:
    method, path, template = way
    body = template % {"arg": arg, "options": options}
    return get(web.url, path, method=method, body=body, headers={"Content-Type": "application/json"})


async def say(web: Web, *messages: str) -> list[Any]:
    """Send messages on a WebSocket; return the last answer to each, which is a result or an error."""
    answers = []
    async with websocket(web.url, "/v1/socket") as socket:
        for message in messages:
            await socket.write_message(message)
            while True:
                answers.append(json.loads(await socket.read_message() or "null"))
                if answers[-1]["event"] in ("result", "error"):
                    break
                answers.pop()
    return answers


TYPED = [
    '{"__type__":"bytes","__value__":"a"}',
    '{"__value__":"a","__type__":"no such type"}',
    '{"a":[[{"b":{"__type__":"uuid","__value__":{"hex":"a"}}}]]}',
    '{"\\u005f_type__":"bytes","__v\\u0061lue__":"a"}',
    '{"\\u005F\\u005F\\u0074ype__":"bytes","__value\\u005f\\u005f":"a"}',
    '{"bytes":"YQ==","__base64__":true}',
    '{"bytes":"a","__bytes__":true,"more":1}',
    '{"bytes":"a","\\u005f\\u005fbytes__":true}',
]
NOT_TYPED = ['"__type__"', '{"__type__":"bytes"}', '{"__type__":1,"__value__":2,"a":3}', '{"type":1}', '"\\u0041"']


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("typed", TYPED)
def test_typed_json_is_refused(web: Web, way: Way, typed: str) -> None:
    answer = ask(web, way, typed)

    assert answer.status == 422
    assert "RINGBACK_TYPED_JSON" in answer.json["detail"]


@pytest.mark.parametrize("value", NOT_TYPED)
def test_what_only_looks_like_typed_json_is_data(web: Web, value: str) -> None:
    assert ask(web, WAYS["task"], value).json["result"] == json.loads(value)


def test_a_keyword_argument_is_looked_at_too(web: Web) -> None:
    answer = send(web.url, f"/v1/tasks/{GIVE}", {"kwargs": {"value": [json.loads(TYPED[0])]}})

    assert answer.status == 422


def test_typed_json_is_passed_on_if_that_is_set() -> None:
    with Web(RINGBACK_TYPED_JSON="1") as web:
        answer = ask(web, WAYS["task"], '{"__type__":"decimal","__value__":"1.5"}')
    assert answer.json["result"] == "1.5"  # the worker returned a Decimal


@pytest.mark.parametrize("typed", TYPED)
def test_typed_json_is_found_in_its_text(typed: str) -> None:
    with pytest.raises(BadArguments):
        refuse_typed_json(typed.encode(), json.loads(typed))


def later(seconds: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_delay_beyond_the_limit_is_refused(web: Web, way: Way) -> None:
    for option in ('"countdown":901', '"countdown":1e9', f'"eta":"{later(960)}"', '"eta":"9999-12-31T23:59:59Z"'):
        answer = ask(web, way, options=option)
        assert answer.status == 422
        assert "900 s" in answer.json["detail"]
        assert "RINGBACK_MAX_DELAY" in answer.json["detail"]


def test_a_socket_refuses_the_same(web: Web) -> None:
    typed, countdown = (
        SOCKET % {"arg": TYPED[0], "options": ""},
        SOCKET % {"arg": "1", "options": '"countdown":901'},
    )

    first, second = run(say(web, typed, countdown))

    assert "RINGBACK_TYPED_JSON" in first["data"]["detail"]
    assert "RINGBACK_MAX_DELAY" in second["data"]["detail"]
    assert first["id"] == second["id"] == "a"


def test_a_delay_within_the_limit_is_none(web: Web) -> None:
    for option in ('"countdown":900', f'"eta":"{later(840)}"', f'"eta":"{later(-(10**6))}"'):
        assert ask(web, WAYS["apply-async"], options=option).status == 200


def test_the_limit_is_said_in_the_description() -> None:
    with Web(RINGBACK_MAX_DELAY="60") as web:
        options = get(web.url, "/openapi.json").json["components"]["schemas"]["Options"]["properties"]
        assert ask(web, WAYS["task"], options='"countdown":61').status == 422
    assert options["countdown"]["anyOf"][0]["maximum"] == 60
    assert "60 seconds" in options["eta"]["description"]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_body_that_is_refused_counts(way: Way) -> None:
    with Web(RINGBACK_RATE="0.001") as web:
        method, path, _ = way
        answers = [
            get(web.url, path, method=method, body=body, headers={"Content-Type": "application/json"})
            for body in ("no JSON", "no JSON")
        ]
    assert [answer.status for answer in answers] == [400, 429]


def test_a_message_that_is_refused_counts() -> None:
    with Web(RINGBACK_RATE="0.001") as web:
        answers = run(say(web, "no JSON", '{"id":"a","task":"add"}'))
    assert [(answer["id"], answer["data"]["status"]) for answer in answers] == [(None, 400), ("a", 429)]


def test_a_header_that_is_refused_does_not_count() -> None:
    with Web(RINGBACK_RATE="0.001") as web:
        body = {"args": ["a"]}
        assert send(web.url, "/v1/tasks/echo", body, Cancel_After="soon").status == 400
        assert send(web.url, "/v1/tasks/echo", body, Idempotency_Key="").status == 400
        assert send(web.url, "/v1/tasks/echo", body).status == 200


def test_each_task_of_a_canvas_counts() -> None:
    task = {"task": "echo", "args": ["a"]}
    with Web(RINGBACK_RATE="5") as web:
        large = [send(web.url, "/v1/canvas", {"group": [task] * 50}).status for _ in range(2)]
    assert large == [200, 429]  # a full bucket lets any canvas pass, which is paid back after that

    with Web(RINGBACK_RATE="5") as web:
        assert send(web.url, "/v1/canvas", {"group": [task] * 4}).status == 200
        assert send(web.url, "/v1/canvas", {"group": [task] * 5}).status == 429
