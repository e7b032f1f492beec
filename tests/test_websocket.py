"""``/v1/socket``: calls over one WebSocket, with Tornado's client."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClientConnection

from client import Client, nothing_left_behind, run, until_inside, websocket
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until_async

TASKS = "misbehaving_tasks"


def connect(web: Web, **headers: str) -> AbstractAsyncContextManager[WebSocketClientConnection]:
    """Open a socket, and wait at the end until both sides have closed it."""
    return websocket(web.url, "/v1/socket", **headers)


async def say(socket: WebSocketClientConnection, **message: object) -> None:
    await socket.write_message(json.dumps(message))


async def receive(socket: WebSocketClientConnection) -> dict[str, Any]:
    text = await asyncio.wait_for(socket.read_message(), 20)
    assert text is not None, "the socket was closed"
    return json.loads(text)


async def receive_until(socket: WebSocketClientConnection, event: str) -> list[dict[str, Any]]:
    heard = [await receive(socket)]
    while heard[-1]["event"] != event:
        heard.append(await receive(socket))
    return heard


@pytest.fixture(params=["web", "embedded"])
def server(request: pytest.FixtureRequest) -> Web:
    return request.getfixturevalue(request.param)


def test_a_call_is_reported_with_its_states_and_its_result(server: Web) -> None:
    async def conversation() -> None:
        async with connect(server) as socket:
            await say(socket, id="mine", task="add", args=[1, 2])
            heard = await receive_until(socket, "result")
            assert [message["event"] for message in heard] == ["state", "state", "result"]
            assert {message["id"] for message in heard} == {"mine"}
            assert len({message["run"] for message in heard}) == 1
            assert (heard[-1]["data"]["state"], heard[-1]["data"]["result"]) == ("SUCCESS", 3)

    run(conversation())


def test_calls_run_side_by_side_and_each_is_reported_by_its_id(server: Web) -> None:
    async def conversation() -> None:
        async with connect(server) as socket:
            for number in range(100):
                await say(socket, id=str(number), task="add", args=[number, 1])
            results: dict[str, int] = {}
            while len(results) < 100:
                message = await receive(socket)
                if message["event"] == "result":
                    results[message["id"]] = message["data"]["result"]
            assert results == {str(number): number + 1 for number in range(100)}

    run(conversation())


def test_progress_is_reported_in_order(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await say(socket, id="mine", task=f"{TASKS}.report", args=[10])
            heard = await receive_until(socket, "result")
            steps = [message["data"] for message in heard if message["event"] == "progress"]
            assert steps == [{"step": step} for step in range(10)]

    run(conversation())


@pytest.mark.parametrize(
    ("message", "slug"),
    [
        ("{", "bad-request"),
        ("[]", "bad-request"),
        ('{"task": "add"}', "bad-request"),
        ('{"id": "a"}', "bad-request"),
        ('{"id": "a", "task": "nothing"}', "unknown-task"),
        ('{"id": "a", "task": "add"}', "bad-arguments"),
        ('{"id": "a", "cancel": true}', "bad-request"),
        (b"\x80\x04]\x94.", "bad-request"),
    ],
)
def test_a_request_that_cannot_be_served_is_reported_and_the_socket_stays(
    web: Web, message: str | bytes, slug: str
) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await socket.write_message(message, binary=isinstance(message, bytes))
            answer = await receive(socket)
            assert (answer["event"], answer["data"]["type"]) == ("error", f"/problems/{slug}")
            await say(socket, id="b", task="add", args=[1, 2])
            assert (await receive_until(socket, "result"))[-1]["data"]["result"] == 3

    run(conversation())


def test_a_failed_task_is_reported_with_its_exception(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await say(socket, id="mine", task="error", args=["went wrong"])
            result = (await receive_until(socket, "result"))[-1]["data"]
            assert (result["state"], result["error"]["detail"]) == ("FAILURE", "Exception: went wrong")

    run(conversation())


def test_an_id_can_be_used_again_when_its_run_has_ended(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await say(socket, id="mine", task="sleep", args=[0.5])
            await say(socket, id="mine", task="add", args=[1, 2])
            heard = await receive_until(socket, "result")
            assert [message["data"]["type"] for message in heard if message["event"] == "error"] == [
                "/problems/key-reused"
            ]
            await say(socket, id="mine", task="add", args=[1, 2])
            assert (await receive_until(socket, "result"))[-1]["data"]["result"] == 3

    run(conversation())


def test_a_client_that_does_not_read_costs_only_the_last_events(web: Web) -> None:
    steps, size = 3000, 20_000

    async def conversation() -> None:
        async with connect(web) as socket:
            before = web.rss()
            await say(socket, id="mine", task=f"{TASKS}.report_at_length", args=[steps, size])
            poll = Client(web.url)
            run_id = (await receive(socket))["run"]
            await until_async(
                lambda: poll.fetch(f"/v1/runs/{run_id}?wait=5"),
                lambda ended: ended.json["state"] == "SUCCESS",
                limit=100,
            )
            assert web.rss() - before < steps * size * 0.75

            heard = await receive_until(socket, "result")
            told = [message["data"]["step"] for message in heard if message["event"] == "progress"]
            assert told == sorted(told)
            assert told[-40:] == list(range(steps - 40, steps))  # of a megabyte

    run(conversation())


def test_a_client_that_goes_leaves_nothing_behind(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            for number in range(20):
                await say(socket, id=str(number), task="sleep", args=[1])
            await receive(socket)
            socket.close()
            client = Client(web.url)
            await until_inside(client, lambda inside: inside["held"] == 0)
            await nothing_left_behind(client)

    run(conversation())


@pytest.fixture(scope="module")
def guarded(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_TOKENS="adder:add", RINGBACK_CLIENT_GONE="*:revoke") as process:
        yield process


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Bearer adder", "Origin": "https://elsewhere.example"}, 403)]
)
def test_a_client_without_access_gets_no_socket(guarded: Web, headers: dict[str, str], status: int) -> None:
    async def conversation() -> None:
        async with connect(guarded, **headers):
            pass

    with pytest.raises(HTTPClientError) as refused:
        run(conversation())

    assert refused.value.code == status


def test_a_token_allows_its_tasks_on_a_socket_too(guarded: Web) -> None:
    async def conversation() -> None:
        async with connect(guarded, Authorization="Bearer adder") as socket:
            await say(socket, id="a", task="echo", args=["x"])
            assert (await receive(socket))["data"]["type"] == "/problems/forbidden"

    run(conversation())


def test_a_process_that_ends_lets_the_last_run_end_and_says_so(rabbitmq: RabbitMQ, worker: Worker) -> None:
    async def conversation() -> None:
        async with connect(web) as idle, connect(web) as busy:
            await end(idle, busy)

    async def end(idle: WebSocketClientConnection, busy: WebSocketClientConnection) -> None:
        await say(busy, id="a", task="sleep", args=[2])
        await receive(busy)
        ending = asyncio.create_task(asyncio.to_thread(web.end, signal.SIGTERM))
        assert await asyncio.wait_for(idle.read_message(), 20) is None
        assert idle.close_code == 1001
        await say(busy, id="b", task="add", args=[1, 2])
        heard = await receive_until(busy, "result")
        assert [m["data"]["type"] for m in heard if m["event"] == "error"] == ["/problems/shutting-down"]
        assert heard[-1]["data"]["result"] == 2
        assert await asyncio.wait_for(busy.read_message(), 20) is None
        await ending

    with Web(BROKER_URL=rabbitmq.url) as web:
        run(conversation())


def test_dropped_calls_do_not_run(web: Web, tmp_path: Path) -> None:
    """A call that is cancelled while it waits for its time never runs."""
    path = tmp_path / "count"

    async def conversation() -> None:
        async with connect(web) as socket:
            await say(socket, id="a", task=f"{TASKS}.count_to", args=[str(path)], options={"countdown": 2})
            await receive(socket)
            await say(socket, id="a", cancel=True)
            assert (await receive_until(socket, "result"))[-1]["data"]["state"] == "REVOKED"

    run(conversation())
    assert not path.exists()


def test_a_message_may_be_as_long_as_a_body(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await say(socket, id="long", task="echo", args=["x" * 1_000_000])
            assert (await receive_until(socket, "result"))[-1]["data"]["result"] == "x" * 1_000_000
            await socket.write_message("x" * (2**20 + 1))
            while await asyncio.wait_for(socket.read_message(), 20) is not None:
                pass

    run(conversation())
