"""On SIGTERM and SIGINT held requests get their answers, or 503, and the process exits with 0."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from client import Client, run, statuses, until_inside
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_held_requests_are_answered_before_the_process_ends(
    rabbitmq: RabbitMQ, worker: Worker, number: signal.Signals
) -> None:
    async def conversation() -> None:
        held = asyncio.create_task(client.crowd(["/sleep/1/25", "/plain/0.4"]))
        await until_inside(client, lambda inside: inside["held"] == 2)
        os.kill(web.pid, number)
        await asyncio.to_thread(web.wait_for, "shutting down: 2 requests held")
        late = await client.fetch("/i_want_you_now")
        assert late.status == 599  # refused
        assert [answer.body for answer in await held] == ["1.0", "0.4"]

    with Web(BROKER_URL=rabbitmq.url) as web:
        client = Client(web.url)
        run(conversation())
        assert web.wait() == 0


def test_the_embedded_worker_finishes_held_calls() -> None:
    async def conversation() -> None:
        held = asyncio.create_task(client.fetch("/sleep/1/25"))
        await until_inside(client, lambda inside: inside["held"] == 1)
        os.kill(web.pid, signal.SIGTERM)
        assert (await held).body == "1.0"

    with Web() as web:
        client = Client(web.url)
        run(conversation())
        assert web.wait() == 0


def test_a_call_without_a_waiting_request_is_published_before_the_end(
    rabbitmq: RabbitMQ, worker: Worker, tmp_path: Path
) -> None:
    calls = 50

    with Web(BROKER_URL=rabbitmq.url) as web:
        answers = run(Client(web.url).crowd([f"/fire-and-forget?path={tmp_path}/{number}" for number in range(calls)]))
        assert web.terminate() == 0

    assert statuses(answers) == {200}
    until(lambda: len(list(tmp_path.iterdir())), lambda published: published == calls)


def test_requests_not_answered_within_the_grace_time_get_503(rabbitmq: RabbitMQ, worker: Worker) -> None:
    async def conversation() -> None:
        held = asyncio.create_task(client.crowd(["/sleep/20/25", "/sleep/19/25"]))
        await until_inside(client, lambda inside: inside["held"] == 2)
        os.kill(web.pid, signal.SIGTERM)
        for answer in await held:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert "shutting-down" in answer.body

    with Web(BROKER_URL=rabbitmq.url, RINGBACK_GRACE="1") as web:
        client = Client(web.url)
        run(conversation())
        assert web.wait() == 0


def test_a_connection_that_stays_open_gets_no_new_answers(rabbitmq: RabbitMQ, worker: Worker) -> None:
    async def conversation() -> None:
        host, port = web.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        held = asyncio.create_task(client.fetch("/sleep/1.5/25"))
        request = f"GET /i_want_you_now HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        writer.write(request)
        assert b"200" in await reader.readline()
        await reader.readuntil(b"now!")
        await until_inside(client, lambda inside: inside["held"] == 1)
        os.kill(web.pid, signal.SIGTERM)
        await asyncio.to_thread(web.wait_for, "shutting down")
        writer.write(request)
        answer = (await reader.read()).decode()  # to the end: the server closes
        assert answer.startswith("HTTP/1.1 503")
        assert "Connection: close" in answer
        assert (await held).status == 200
        writer.close()

    with Web(BROKER_URL=rabbitmq.url) as web:
        client = Client(web.url)
        run(conversation())
        assert web.wait() == 0
