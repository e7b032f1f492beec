"""Calls are refused at once when the outbox is full, the broker blocks publishing, or there is no broker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from client import Client, first_success, get, rate_of_unrelated_requests, run, statuses, until_inside
from servers import RabbitMQ, free_port, need
from stack import Web, Worker, through_a_proxy


def test_a_full_outbox_refuses_at_once_and_publishes_nothing(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    limit, count = 10, tmp_path / "count"
    path = f"/count_to?path={count}"

    async def conversation() -> None:
        client = Client(web.url)
        await first_success(client)
        proxy.stall()
        waiting = asyncio.create_task(client.crowd([path] * limit))
        await until_inside(client, lambda inside: inside["outbox"] + inside["in_flight"] == limit)
        refused = [await client.fetch(path) for _ in range(30)]
        assert not waiting.done()  # so the refused requests did not wait
        unconfirmed = await waiting
        proxy.restore()
        await first_success(client)

        assert statuses(unconfirmed) == statuses(refused) == {503}
        assert all("/outbox-full" in answer.body for answer in refused)
        assert all(answer.headers["Retry-After"] for answer in refused)

    with (
        through_a_proxy(rabbitmq) as (url, proxy),
        Web(BROKER_URL=url, TASK_QUEUE="outbox", RINGBACK_OUTBOX_LIMIT=str(limit), RINGBACK_PUBLISH_TIMEOUT="6") as web,
        Worker(BROKER_URL=rabbitmq.url, TASK_QUEUE="outbox"),
    ):
        run(conversation())
    ran = count.read_text().splitlines() if count.exists() else []
    assert len(ran) <= limit


def test_a_blocked_broker_delays_no_unrelated_request() -> None:
    async def conversation() -> None:
        client = Client(web.url)
        await first_success(client)
        held = asyncio.create_task(client.fetch("/sleep/2/60"))
        calm = await rate_of_unrelated_requests(client, asyncio.sleep(1))

        await asyncio.to_thread(broker.ctl, "set_vm_memory_high_watermark", "0.0000001")
        troubled = await rate_of_unrelated_requests(client, ask_the_blocked(client))
        assert "blocked" in web.output
        await asyncio.to_thread(broker.ctl, "set_vm_memory_high_watermark", "0.4")

        await first_success(client)
        answer = await held
        assert (answer.status, answer.body) == (200, "2.0")
        assert troubled > calm / 5

    async def ask_the_blocked(client: Client) -> None:
        first = await client.fetch("/add?x=1&y=2")
        given_up = web.output.count("not published")
        second = await client.fetch("/add?x=1&y=2")
        for answer in (first, second):
            assert answer.status == 503
            assert answer.headers["Retry-After"]
        # Once the process knows that it is blocked, it refuses calls at once, before it makes their messages.
        assert given_up == web.output.count("not published") == 1

    with need(RabbitMQ) as broker, Worker(BROKER_URL=broker.url), Web(BROKER_URL=broker.url) as web:
        run(conversation())


def test_a_call_past_its_deadline_is_not_run(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    count = tmp_path / "count"
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": "late-work"}

    with Web(RINGBACK_DEADLINE="0.5", **variables) as web:
        assert get(web.url, f"/count_to?path={count}").status == 504
        with Worker(**variables):
            assert get(web.url, "/add?x=1&y=2").status == 200  # the worker has taken or dropped all earlier messages

    assert not count.exists()


def test_without_a_broker_the_process_starts_and_says_so() -> None:
    with Web(BROKER_URL=f"amqp://127.0.0.1:{free_port()}//") as web:
        answer = get(web.url, "/add?x=1&y=2")

        assert answer.status == 503
        assert json.loads(answer.body)["type"].endswith("/broker-unavailable")
        assert get(web.url, "/i_want_you_now").status == 200


def test_too_many_waiting_calls_are_refused_at_once(rabbitmq: RabbitMQ, worker: Worker) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        held = [asyncio.create_task(client.fetch("/sleep/2/60")), asyncio.create_task(client.call("sleep", 2))]
        await until_inside(client, lambda inside: inside["ledger"] == 2)
        for refused in (await client.fetch("/add?x=1&y=2"), await client.call("add", 1, 2)):
            assert (refused.status, refused.json["type"]) == (503, "/problems/too-many-held")
            assert refused.headers["Retry-After"]
        assert statuses(await asyncio.gather(*held)) == {200}
        assert (await client.call("add", 1, 2)).status == 200

    with Web(BROKER_URL=rabbitmq.url, RINGBACK_HELD_LIMIT="2") as web:
        run(conversation())
