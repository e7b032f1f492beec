"""``/chat``, with Tornado's WebSocket client: who hears what, in which order, and who is held up by whom."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClientConnection

from client import Client, first_success, get, look_inside, nothing_left_behind, run, until_inside, websocket
from examples.tasks import moderate
from servers import RabbitMQ
from stack import Web, Worker, through_a_proxy


@pytest.fixture(params=["web", "embedded"])
def server(request: pytest.FixtureRequest) -> Web:
    found: Web = request.getfixturevalue(request.param)
    return found


def connect(web: Web, **headers: str) -> AbstractAsyncContextManager[WebSocketClientConnection]:
    """Somebody enters the chat."""
    return websocket(web.url, "/chat", **headers)


async def say(socket: WebSocketClientConnection, text: str) -> None:
    await socket.write_message(json.dumps({"text": text}))


async def hear(socket: WebSocketClientConnection) -> dict[str, Any]:
    text = await asyncio.wait_for(socket.read_message(), 20)
    assert text is not None, f"the socket was closed: {socket.close_code} {socket.close_reason}"
    return json.loads(text)


async def hear_texts(socket: WebSocketClientConnection, count: int) -> list[str]:
    return [(await hear(socket))["text"] for _ in range(count)]


async def hear_problem(socket: WebSocketClientConnection) -> str:
    """The kind of the error that this one is told."""
    return (await hear(socket))["error"]["type"].rpartition("/")[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  hello ", "hello"),
        ("Damn, you IDIOTS", "****, you ******"),
        ("an idiomatic scrap", "an idiomatic scrap"),
        ("<b>damned</b>", "<b>******</b>"),
    ],
)
def test_rude_words_are_starred(text: str, told: str) -> None:
    assert moderate(text) == told


def test_what_one_says_all_hear(server: Web) -> None:
    async def conversation() -> None:
        async with connect(server) as one, connect(server) as other:
            await say(one, " damn good ")
            heard = [await hear(socket) for socket in (one, other)]
            assert heard[0] == heard[1]
            assert heard[0]["text"] == "**** good"
            assert re.fullmatch(r"guest \d+", heard[0]["from"])

    run(conversation())


def test_all_hear_in_the_order_of_arrival_though_tasks_end_in_another(web: Web, tmp_path: Path) -> None:
    gates = [tmp_path / name for name in ("first", "second", "third")]
    said = [f"when {gate}" for gate in gates]

    async def conversation() -> None:
        async with AsyncExitStack() as stack:
            client = Client(web.url)
            sockets = [await stack.enter_async_context(connect(web)) for _ in said]
            for number, (socket, text) in enumerate(zip(sockets, said, strict=True), start=1):
                await say(socket, text)
                await until_inside(client, lambda inside, number=number: inside["ledger"] == number)
            for left, gate in reversed([*enumerate(gates)]):
                gate.touch()
                await until_inside(client, lambda inside, left=left: inside["ledger"] == left)
            for socket in sockets:
                assert await hear_texts(socket, len(said)) == said

    run(conversation())


def test_one_clients_messages_keep_their_order(web: Web) -> None:
    said = [f"message {number}" for number in range(100)]

    async def conversation() -> None:
        async with connect(web) as one, connect(web) as other:
            for text in said:
                await say(one, text)
            assert await hear_texts(one, 100) == await hear_texts(other, 100) == said

    run(conversation())


def test_a_failed_moderation_is_told_to_the_author_alone(server: Web) -> None:
    async def conversation() -> None:
        async with connect(server) as one, connect(server) as other:
            await say(one, "   ")
            assert await hear_problem(one) == "task-failed"
            await say(other, "hello")
            assert await hear_texts(one, 1) == await hear_texts(other, 1) == ["hello"]

    run(conversation())


@pytest.mark.parametrize("message", ["{", "[]", "", '{"text": 1}', '{"text": "a", "from": "me"}', b"\xff\xfe"])
def test_what_is_no_message_is_told_to_its_author_and_the_socket_stays(web: Web, message: str | bytes) -> None:
    async def conversation() -> None:
        async with connect(web) as one, connect(web) as other:
            await one.write_message(message, binary=isinstance(message, bytes))
            assert await hear_problem(one) == "bad-request"
            await say(one, "x" * 2001)
            assert await hear_problem(one) == "bad-request"
            await say(one, "x" * 2000)
            assert await hear_texts(other, 1) == ["x" * 2000]

    run(conversation())


def test_a_frame_beyond_the_limit_ends_the_connection(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await say(socket, "x" * 17_000)
            assert await asyncio.wait_for(socket.read_message(), 20) is None
            assert socket.close_code == 1009

    run(conversation())


def test_one_who_does_not_read_is_dropped_and_holds_nobody_up(web: Web) -> None:
    text = "ä" * 2000  # 12 kB as JSON, so that the network's buffers are full soon

    async def conversation() -> None:
        client = Client(web.url)
        before, said = web.rss(), 0
        async with connect(web) as reader, connect(web) as sleeper:
            while (await look_inside(client))["chatting"] == 2:
                for _ in range(20):
                    await say(reader, text)
                assert await hear_texts(reader, 20) == [text] * 20
                said += 20
                assert said < 5000
            assert web.rss() - before < 32 * 2**20

            heard = 0
            while await asyncio.wait_for(sleeper.read_message(), 20) is not None:
                heard += 1
            assert heard < said
            assert (sleeper.close_code, sleeper.close_reason) == (1008, "you have not read the last 100 messages")
            await say(reader, "still here")
            assert await hear_texts(reader, 1) == ["still here"]

    run(conversation())


def test_one_who_goes_is_missed_by_nobody(web: Web, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def conversation() -> None:
        client = Client(web.url)
        async with connect(web) as one:
            async with connect(web) as other:
                await say(other, f"when {gate} opens, I am gone")
                await until_inside(client, lambda inside: inside["ledger"] == 1)
                other.protocol.stream.close()
            gate.touch()
            assert await hear_texts(one, 1) == [f"when {gate} opens, I am gone"]
            await say(one, "hello")
            assert await hear_texts(one, 1) == ["hello"]
            await until_inside(client, lambda inside: inside["chatting"] == 1)
        await nothing_left_behind(client)

    run(conversation())


def test_a_message_that_takes_too_long_is_told_to_its_author_and_the_next_one_heard(web: Web, tmp_path: Path) -> None:
    async def conversation() -> None:
        async with connect(web) as one, connect(web) as other:
            await say(one, f"when {tmp_path / 'nothing'}")
            await until_inside(Client(web.url), lambda inside: inside["ledger"] == 1)
            await say(other, "hello")
            assert await hear_problem(one) == "deadline-exceeded"
            assert await hear_texts(one, 1) == await hear_texts(other, 1) == ["hello"]

    run(conversation())


def test_without_a_broker_the_author_is_told_and_later_heard(rabbitmq: RabbitMQ) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await first_success(Client(web.url))
            proxy.cut()
            await say(socket, "hello")
            assert await hear_problem(socket) in ("broker-unavailable", "publish-unconfirmed", "replies-unavailable")
            proxy.restore()
            await first_success(Client(web.url))
            await say(socket, "hello again")
            assert await hear_texts(socket, 1) == ["hello again"]

    with (
        through_a_proxy(rabbitmq) as (url, proxy),
        Worker(BROKER_URL=rabbitmq.url, TASK_QUEUE="chat"),
        Web(BROKER_URL=url, TASK_QUEUE="chat") as web,
    ):
        run(conversation())


def test_a_page_of_another_origin_gets_no_socket(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web, Origin=web.url) as socket:
            await say(socket, "hello")
            assert await hear_texts(socket, 1) == ["hello"]
        async with connect(web, Origin="https://elsewhere.example"):
            pass

    with pytest.raises(HTTPClientError) as refused:
        run(conversation())

    assert refused.value.code == 403


def test_a_browser_gets_a_page_that_loads_nothing(web: Web) -> None:
    page = get(web.url, "/chat")

    policy = page.headers["Content-Security-Policy"]
    assert page.headers["Content-Type"].startswith("text/html")
    assert policy.startswith("default-src 'none'; connect-src 'self'")
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=", page.body)


def test_a_process_that_ends_lets_all_hear_what_has_been_said(
    rabbitmq: RabbitMQ, worker: Worker, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    async def conversation() -> None:
        async with connect(web) as one, connect(web) as other:
            assert (await Client(web.url).fetch("/chat")).status == 200
            await say(one, f"when {gate} opens, the end")
            await until_inside(Client(web.url), lambda inside: inside["ledger"] == 1)
            ending = asyncio.create_task(asyncio.to_thread(web.end, signal.SIGTERM))
            await asyncio.to_thread(web.wait_for, "shutting down")
            gate.touch()
            for socket in (one, other):
                assert await hear_texts(socket, 1) == [f"when {gate} opens, the end"]
                assert await asyncio.wait_for(socket.read_message(), 20) is None
                assert socket.close_code == 1001
            await ending
            assert "Traceback" not in web.output

    with Web(BROKER_URL=rabbitmq.url) as web:
        run(conversation())
