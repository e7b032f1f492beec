"""The audit log: one line for each call, cancellation and refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from client import call, get, run, send, websocket
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def web(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    variables = {"RINGBACK_TOKENS": f"me={TOKEN}:add,sleep", "RINGBACK_PROXIES": "127.0.0.1"}
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_AUDIT="1", **variables) as process:
        yield process


def lines(web: Web, request_id: str) -> list[dict[str, Any]]:
    """The lines about a request, once there are any."""
    found = until(lambda: [line for line in web.output.splitlines() if request_id in line and line.startswith("{")])
    return [json.loads(line) for line in found]


def test_a_call_is_one_line(web: Web) -> None:
    headers = {**BEARER, "X-Request-ID": "call-1", "X-Forwarded-For": "192.0.2.7"}
    run_id = call(web.url, "add", 1, 2, **headers).json["id"]

    [line] = lines(web, "call-1")
    assert line.pop("time")
    assert line == {
        "event": "call",
        "caller": "me",
        "task": "add",
        "run": run_id,
        "request_id": "call-1",
        "address": "192.0.2.7",
        "outcome": 200,
    }


def test_a_request_without_an_id_gets_one(web: Web) -> None:
    answer = call(web.url, "add", 1, 2, **BEARER)

    [line] = lines(web, answer.headers["X-Request-ID"])
    assert line["event"] == "call"


@pytest.mark.parametrize(("query", "event"), [("", "cancel"), ("?forget=true", "erase")])
def test_a_cancellation_is_one_line(web: Web, query: str, event: str) -> None:
    path = call(web.url, "sleep", 5, Prefer="respond-async", **BEARER).headers["Location"]
    get(web.url, path + query, method="DELETE", headers={**BEARER, "X-Request-ID": f"{event}-1"})

    assert [(line["event"], line["task"]) for line in lines(web, f"{event}-1")] == [(event, "sleep")]


@pytest.mark.parametrize(
    ("method", "path", "headers", "caller", "status"),
    [
        ("GET", "/v1/tasks", {}, None, 401),
        ("POST", "/v1/tasks/add", {"Authorization": "Bearer wrong"}, None, 401),
        ("POST", "/v1/tasks/echo", BEARER, "me", 403),
        ("DELETE", "/v1/runs/x", {**BEARER, "Origin": "http://elsewhere.example"}, None, 403),
    ],
)
def test_a_refusal_is_one_line(
    web: Web, method: str, path: str, headers: dict[str, str], caller: str | None, status: int
) -> None:
    name = f"refused-{method}-{status}-{caller}"
    body = b"{}" if method == "POST" else None
    sent = {**headers, "X-Request-ID": name, "Content-Type": "application/json"}
    assert get(web.url, path, method=method, body=body, headers=sent).status == status

    [line] = lines(web, name)
    assert (line["event"], line.get("caller") or None, line["outcome"]) == ("refuse", caller, status)


def test_the_messages_of_a_socket_are_lines_each(web: Web) -> None:
    async def conversation() -> None:
        async with websocket(web.url, "/v1/socket", **BEARER, **{"X-Request-ID": "socket-1"}) as socket:
            await socket.write_message('{"id": "a", "task": "sleep", "args": [9]}')
            await socket.read_message()
            await socket.write_message('{"id": "a", "cancel": true}')
            await socket.write_message('{"id": "b", "task": "echo"}')
            while '"error"' not in str(await socket.read_message()):
                pass

    run(conversation())

    assert [line["event"] for line in lines(web, "socket-1")] == ["call", "cancel", "refuse"]


def test_other_requests_are_no_lines(web: Web) -> None:
    for path in ("/v1/tasks", "/livez", "/v1/runs/none"):
        get(web.url, path, headers={**BEARER, "X-Request-ID": "quiet"})
    call(web.url, "add", 1, 2, **BEARER, **{"X-Request-ID": "loud"})

    assert lines(web, "loud")
    assert "quiet" not in web.output


def test_no_line_holds_a_token_or_an_argument(web: Web) -> None:
    send(web.url, "/v1/tasks/add", {"args": ["secret-argument", 2]}, **BEARER)
    call(web.url, "add", 1, 2, **BEARER)

    audit = [line for line in web.output.splitlines() if line.startswith("{")]
    assert audit
    assert not any("secret-argument" in line or TOKEN in line for line in audit)
