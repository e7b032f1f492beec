"""``/chat``, with Tornado's WebSocket client: the recipients of each message, their order, and slow clients."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClientConnection

from chatting import connect, receive, say
from client import Client, first_success, get, look_inside, nothing_left_behind, run, until_inside
from examples.tasks import moderate
from servers import RabbitMQ
from stack import Web, Worker, through_a_proxy


@pytest.fixture(params=["web", "embedded"])
def server(request: pytest.FixtureRequest) -> Web:
    found: Web = request.getfixturevalue(request.param)
    return found


async def receive_texts(socket: WebSocketClientConnection, count: int) -> list[str]:
    return [(await receive(socket))["text"] for _ in range(count)]


async def receive_problem(socket: WebSocketClientConnection) -> str:
    """The type of the error that this client receives."""
    return (await receive(socket))["error"]["type"].rpartition("/")[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  hello ", "hello"),
        ("Damn, you IDIOTS", "****, you ******"),
        ("an idiomatic scrap", "an idiomatic scrap"),
        ("<b>damned</b>", "<b>******</b>"),
    ],
)
def test_rude_words_are_starred(text: str, expected: str) -> None:
    assert moderate(text) == expected


def test_all_clients_receive_a_message(server: Web) -> None:
    async def conversation() -> None:
        async with connect(server) as one, connect(server) as other:
            await say(one, " damn good ")
            received = [await receive(socket) for socket in (one, other)]
            assert received[0] == received[1]
            assert received[0]["text"] == "**** good"
            assert re.fullmatch(r"guest \d+", received[0]["from"])

    run(conversation())


def test_messages_are_sent_in_the_order_of_arrival_though_tasks_end_in_another(web: Web, tmp_path: Path) -> None:
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
                assert await receive_texts(socket, len(said)) == said

    run(conversation())


def test_one_clients_messages_keep_their_order(web: Web) -> None:
    said = [f"message {number}" for number in range(100)]

    async def conversation() -> None:
        async with connect(web) as one, connect(web) as other:
            for text in said:
                await say(one, text)
            assert await receive_texts(one, 100) == await receive_texts(other, 100) == said

    run(conversation())


def test_a_failed_moderation_is_reported_to_the_author_only(server: Web) -> None:
    async def conversation() -> None:
        async with connect(server) as one, connect(server) as other:
            await say(one, "   ")
            assert await receive_problem(one) == "task-failed"
            await say(other, "hello")
            assert await receive_texts(one, 1) == await receive_texts(other, 1) == ["hello"]

    run(conversation())


@pytest.mark.parametrize("message", ["{", "[]", "", '{"text": 1}', '{"text": "a", "from": "me"}', b"\xff\xfe"])
def test_a_malformed_message_is_reported_to_its_author_and_the_socket_stays(web: Web, message: str | bytes) -> None:
    async def conversation() -> None:
        async with connect(web) as one, connect(web) as other:
            await one.write_message(message, binary=isinstance(message, bytes))
            assert await receive_problem(one) == "bad-request"
            await say(one, "x" * 2001)
            assert await receive_problem(one) == "bad-request"
            await say(one, "x" * 2000)
            assert await receive_texts(other, 1) == ["x" * 2000]

    run(conversation())


def test_a_frame_beyond_the_limit_ends_the_connection(web: Web) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await say(socket, "x" * 17_000)
            assert await asyncio.wait_for(socket.read_message(), 20) is None
            assert socket.close_code == 1009

    run(conversation())


def test_a_client_that_does_not_read_is_dropped_and_delays_no_other(web: Web) -> None:
    text = "ä" * 2000  # 12 kB as JSON, so that the network's buffers are full soon

    async def conversation() -> None:
        client = Client(web.url)
        before, said = web.rss(), 0
        async with connect(web) as reader, connect(web) as sleeper:
            while (await look_inside(client))["chatting"] == 2:
                for _ in range(20):
                    await say(reader, text)
                assert await receive_texts(reader, 20) == [text] * 20
                said += 20
                assert said < 5000
            assert web.rss() - before < 32 * 2**20

            received = 0
            while await asyncio.wait_for(sleeper.read_message(), 20) is not None:
                received += 1
            assert received < said
            assert (sleeper.close_code, sleeper.close_reason) == (1008, "you have not read the last 100 messages")
            await say(reader, "still here")
            assert await receive_texts(reader, 1) == ["still here"]

    run(conversation())


def test_a_client_that_goes_disturbs_no_other(web: Web, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def conversation() -> None:
        client = Client(web.url)
        async with connect(web) as one:
            async with connect(web) as other:
                await say(other, f"when {gate} opens, I am gone")
                await until_inside(client, lambda inside: inside["ledger"] == 1)
                other.protocol.stream.close()
            gate.touch()
            assert await receive_texts(one, 1) == [f"when {gate} opens, I am gone"]
            await say(one, "hello")
            assert await receive_texts(one, 1) == ["hello"]
            await until_inside(client, lambda inside: inside["chatting"] == 1)
        await nothing_left_behind(client)

    run(conversation())


def test_a_message_that_takes_too_long_is_reported_to_its_author_and_the_next_one_sent(
    web: Web, tmp_path: Path
) -> None:
    async def conversation() -> None:
        async with connect(web) as one, connect(web) as other:
            await say(one, f"when {tmp_path / 'nothing'}")
            await until_inside(Client(web.url), lambda inside: inside["ledger"] == 1)
            await say(other, "hello")
            assert await receive_problem(one) == "deadline-exceeded"
            assert await receive_texts(one, 1) == await receive_texts(other, 1) == ["hello"]

    run(conversation())


def test_without_a_broker_the_author_gets_an_error_and_can_write_later(rabbitmq: RabbitMQ) -> None:
    async def conversation() -> None:
        async with connect(web) as socket:
            await first_success(Client(web.url))
            proxy.cut()
            await say(socket, "hello")
            assert await receive_problem(socket) in ("broker-unavailable", "publish-unconfirmed", "replies-unavailable")
            proxy.restore()
            await first_success(Client(web.url))
            await say(socket, "hello again")
            assert await receive_texts(socket, 1) == ["hello again"]

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
            assert await receive_texts(socket, 1) == ["hello"]
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


def test_a_process_that_ends_first_sends_all_messages(rabbitmq: RabbitMQ, worker: Worker, tmp_path: Path) -> None:
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
                assert await receive_texts(socket, 1) == [f"when {gate} opens, the end"]
                assert await asyncio.wait_for(socket.read_message(), 20) is None
                assert socket.close_code == 1001
            await ending
            assert "Traceback" not in web.output

    with Web(BROKER_URL=rabbitmq.url) as web:
        run(conversation())
