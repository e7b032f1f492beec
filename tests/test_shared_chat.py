"""``/chat`` over several processes: one room, one order, and nothing missed while Redis is away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection

from chatting import connect, receive, say
from client import Client, run, until_inside
from proxy import Proxy
from servers import RabbitMQ, Redis
from stack import Web, Worker, through_a_proxy


class Rooms:
    """Two processes; the second one reaches Redis through a proxy."""

    def __init__(self, one: Web, other: Web, proxy: Proxy) -> None:
        self.one, self.other, self.proxy = one, other, proxy


@pytest.fixture(scope="module")
def rooms(rabbitmq: RabbitMQ, redis: Redis, worker: Worker) -> Iterator[Rooms]:
    with (
        through_a_proxy(redis) as (url, proxy),
        Web(BROKER_URL=rabbitmq.url, REDIS_URL=redis.url) as one,
        Web(BROKER_URL=rabbitmq.url, REDIS_URL=url) as other,
    ):
        yield Rooms(one, other, proxy)


async def greet(*sockets: WebSocketClientConnection) -> None:
    """Wait until all of them hear what is said."""
    for socket in sockets:
        await say(socket, "hello")
    for socket in sockets:
        while (await receive(socket)).get("text") != "hello":
            pass
    for socket in sockets[1:]:  # which may have heard the others' greetings, or not
        await say(socket, "done")
    for socket in sockets:
        for _ in sockets[1:]:
            while (await receive(socket)).get("text") != "done":
                pass


def test_all_processes_hear_all_messages_in_one_order(rooms: Rooms) -> None:
    async def conversation() -> None:
        async with connect(rooms.one) as one, connect(rooms.other) as other:
            await greet(one, other)
            for number in range(50):
                await say(one, f"one {number}")
                await say(other, f"other {number}")
            heard = [[await receive(socket) for _ in range(100)] for socket in (one, other)]

            assert heard[0] == heard[1]
            texts = [message["text"] for message in heard[0]]
            for name in ("one", "other"):
                assert [text for text in texts if text.startswith(f"{name} ")] == [f"{name} {n}" for n in range(50)]
            assert len({message["from"] for message in heard[0]}) == 2

    run(conversation())


@pytest.mark.parametrize("how", [Proxy.cut, Proxy.blackhole], ids=["cut", "blackhole"])
def test_while_redis_is_away_authors_hear_so_and_afterwards_nothing_is_missed(rooms: Rooms, how: Any) -> None:
    async def conversation() -> None:
        async with connect(rooms.one) as one, connect(rooms.other) as other:
            await greet(one, other)
            how(rooms.proxy)
            try:
                await say(other, "into the void")
                assert (await receive(other))["error"]["type"].endswith("/store-unavailable")
                for number in range(10):
                    await say(one, f"meanwhile {number}")
                assert [(await receive(one))["text"] for _ in range(10)] == [f"meanwhile {n}" for n in range(10)]
            finally:
                rooms.proxy.restore()
            assert [(await receive(other))["text"] for _ in range(10)] == [f"meanwhile {n}" for n in range(10)]
            await say(other, "back")
            assert (await receive(one))["text"] == (await receive(other))["text"] == "back"

    run(conversation())


def test_a_process_that_ends_first_sends_what_was_said(
    rabbitmq: RabbitMQ, redis: Redis, worker: Worker, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    async def conversation() -> None:
        async with connect(web) as socket:
            await greet(socket)
            await say(socket, f"when {gate} opens, the end")
            await until_inside(Client(web.url), lambda inside: inside["ledger"] == 1)
            ending = asyncio.create_task(asyncio.to_thread(web.end, signal.SIGTERM))
            await asyncio.to_thread(web.wait_for, "shutting down")
            gate.touch()
            assert (await receive(socket))["text"] == f"when {gate} opens, the end"
            assert await asyncio.wait_for(socket.read_message(), 20) is None
            assert socket.close_code == 1001
            await ending
            assert "Traceback" not in web.output

    with Web(BROKER_URL=rabbitmq.url, REDIS_URL=redis.url) as web:
        run(conversation())
