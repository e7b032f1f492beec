"""A process that has had no time to read a request counts that time, and refuses what is too old."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from client import Client, run
from ringback.errors import Overloaded
from ringback.web.error_answers import REFUSALS
from ringback.web.unread import Unread, waited
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until, until_async

CALL = b"GET /add?x=1&y=2 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's side, and what the server has accepted."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
    ):
        yield client, accepted


def impatient() -> Unread:
    """One that refuses after 0.05 s."""
    unread = Unread(5.0)
    unread._limit = 0.05
    return unread


def test_what_nobody_reads_waits_since_its_last_bytes() -> None:
    with connection() as (client, accepted):
        until(lambda: waited(accepted), lambda seconds: seconds >= 0.2)
        client.send(CALL)
        until(lambda: waited(accepted), lambda seconds: seconds < 0.2)
        until(lambda: waited(accepted), lambda seconds: seconds >= 0.2)


def test_a_unix_socket_does_not_tell() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert waited(sock) == 0


def test_an_old_request_is_refused_before_its_connection_is_made() -> None:
    before = REFUSALS["overloaded", "address"]
    with connection() as (client, accepted):
        client.send(CALL * 2000)
        until(lambda: waited(accepted), lambda seconds: seconds >= 0.05)
        assert impatient().refuse(accepted, "127.0.0.1")
        answer = client.makefile("rb").read()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: " in head
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    assert f"\r\nContent-Length: {len(body)}".encode() in head
    assert json.loads(body)["type"] == "/problems/overloaded"
    assert REFUSALS["overloaded", "address"] == before + 1


@pytest.mark.parametrize(
    "request_", [b"", b"GET /livez HTTP/1.1\r\n\r\n", b"GET /readyz HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"]
)
def test_probes_and_connections_without_a_request_are_never_too_old(request_: bytes) -> None:
    with connection() as (client, accepted):
        client.send(request_)
        until(lambda: waited(accepted), lambda seconds: seconds >= 0.05)
        assert not impatient().refuse(accepted, "127.0.0.1")
        client.send(b"|")
        assert until(lambda: accepted.recv(100, socket.MSG_PEEK), lambda data: data.endswith(b"|")) == request_ + b"|"


def test_a_client_that_has_gone_is_no_error() -> None:
    with connection() as (client, accepted):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()  # with a reset
        until(lambda: waited(accepted), lambda seconds: seconds >= 0.05)
        assert impatient().refuse(accepted, "127.0.0.1")


def test_half_of_the_deadline_is_too_old() -> None:
    Unread(5.0).check(2.4, "/v1/tasks/add")
    Unread(5.0).check(60.0, "/readyz")
    Unread(0.1).check(0.9, "/v1/tasks/add")  # a second is no overload
    with pytest.raises(Overloaded, match=r"2\.5 s"):
        Unread(5.0).check(2.5, "/v1/tasks/add")


def test_a_closed_connection_does_not_tell() -> None:
    with connection() as (_, accepted):
        accepted.close()
        assert waited(accepted) == 0


@contextmanager
def standing_still(web: Web) -> Iterator[None]:
    """The process does nothing meanwhile."""
    os.kill(web.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(web.pid, signal.SIGCONT)


def test_after_a_standstill_old_requests_are_refused_and_new_ones_answered(rabbitmq: RabbitMQ) -> None:
    async def conversation() -> None:
        with ExitStack() as stack:
            await standstill(stack)

    async def standstill(stack: ExitStack) -> None:
        client = Client(web.url)
        reader, writer = await asked(web, stack, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b'alive"}\n')
        await client.fetch("/livez")  # by then the connection is ready for another request
        with standing_still(web):
            writer.write(CALL)
            probe = await asked(web, stack, b"GET /readyz HTTP/1.0\r\n\r\n")
            late = [(reader, writer), *[await asked(web, stack, CALL) for _ in range(20)]]
            await until_async(lambda: since_sent(late[-1][1]), lambda seconds: seconds >= 1.0)
        for refused, _ in late:
            answer = await refused.read()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"/problems/overloaded" in answer
        assert (await probe[0].readline()).startswith(b"HTTP/1.1 200 ")
        assert (await client.call("add", 1, 2)).status == 200
        metrics = (await client.fetch("/metrics")).body
        assert 'ringback_refused_total{caller="address",reason="overloaded"} 21.0' in metrics

    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": "unread"}
    with Worker(**variables), Web(**variables, RINGBACK_DEADLINE="2") as web:
        run(conversation())


async def asked(web: Web, stack: ExitStack, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which this request was sent."""
    address = urlsplit(web.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    stack.callback(writer.close)
    writer.write(request)
    return reader, writer


def since_sent(writer: asyncio.StreamWriter) -> float:
    """Seconds since the last bytes were sent (``tcpi_last_data_sent``)."""
    state = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 48)
    return int.from_bytes(state[44:], sys.byteorder) / 1000
