"""Several brokers in ``BROKER_URL``, and quorum queues, on single nodes; ``test_cluster`` has a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from client import Answer, Client, all_confirmed, answered_in_order, call, first_success, get, run, send
from ringback.broker import connect as connect_broker
from ringback.settings import Settings
from servers import RabbitMQ, free_port, need
from stack import Web, Worker, through_a_proxy
from waiting import until


@pytest.fixture(scope="module")
def spare() -> Iterator[RabbitMQ]:
    """A second broker, not clustered with the first."""
    with need(RabbitMQ) as server:
        yield server


def test_a_broker_that_is_down_is_skipped(rabbitmq: RabbitMQ) -> None:
    dead = [f"amqp://guest:guest@127.0.0.1:{free_port()}//" for _ in range(2)]
    variables = {"BROKER_URL": ";".join([*dead, rabbitmq.url]), "TASK_QUEUE": "passed-over"}

    with Worker(**variables), Web(**variables) as web:
        assert get(web.url, "/add?x=1&y=2").body == "3"


def test_an_owner_that_counts_its_attempts_tries_all_brokers(rabbitmq: RabbitMQ, spare: RabbitMQ) -> None:
    app = Celery(broker=[rabbitmq.url, spare.url], set_as_current=False)

    for turn, server in enumerate([rabbitmq, spare, rabbitmq]):
        link = connect_broker(app, Settings(), turn)
        assert link.channel.connection.sock.getpeername()[1] == server.port
        link.discard()


@pytest.mark.parametrize("fault", ["cut", "blackhole"])
def test_a_broker_that_is_lost_is_replaced_by_the_next(rabbitmq: RabbitMQ, spare: RabbitMQ, fault: str) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        assert (await client.fetch("/add?x=1&y=2")).body == "3"
        held = asyncio.create_task(client.fetch("/sleep/3/20"))
        await all_confirmed(client, 1)

        # When the first broker ends for good
        getattr(proxy, fault)()

        # Then the second broker serves the held requests and the later ones
        assert (await held).body == "3.0"
        await first_success(client)

    with through_a_proxy(rabbitmq) as (url, proxy):
        variables = {"BROKER_URL": f"{url};{spare.url}", "TASK_QUEUE": f"lost-{fault}"}
        with Worker(**variables), Web(**variables) as web:
            run(conversation())


def test_a_message_that_the_broker_refuses_is_sent_until_it_is_accepted(spare: RabbitMQ) -> None:
    async def conversation() -> list[Answer]:
        # Given a queue that takes one message, and three requests
        spare.ctl("set_policy", "narrow", "^narrow$", '{"max-length": 1, "overflow": "reject-publish"}')
        asked = asyncio.create_task(Client(web.url).crowd([f"/add?x={number}&y=1" for number in range(3)]))
        await asyncio.to_thread(web.wait_for, "the broker has refused a message")

        # When the queue takes any number again
        await asyncio.to_thread(spare.ctl, "clear_policy", "narrow")
        with Worker(**variables):
            return await asked

    variables = {"BROKER_URL": spare.url, "TASK_QUEUE": "narrow", "RINGBACK_PUBLISH_TIMEOUT": "15"}
    with Web(**variables) as web:
        answers = run(conversation())
    assert [answer.body for answer in answers] == ["1", "2", "3"]


@pytest.fixture(scope="module")
def quorum(spare: RabbitMQ) -> Iterator[Web]:
    variables = {"BROKER_URL": spare.url, "TASK_QUEUE": "kept", "TASK_QUEUE_TYPE": "quorum"}
    with Worker(**variables, WORKER_CONCURRENCY="10"), Web(**variables, RINGBACK_TERMINATE="*") as web:
        yield web


def test_all_queues_are_quorum_queues(quorum: Web, spare: RabbitMQ) -> None:
    assert get(quorum.url, "/add?x=1&y=2").body == "3"

    parts = ("kept", "ringback.reply.", ".pidbox")
    assert [any(part in name for name in spare.quorum_queues()) for part in parts] == [True] * 3


def test_delays_expiry_and_priority_mean_what_they_mean(quorum: Web) -> None:
    client = Client(quorum.url)
    task, options = "misbehaving_tasks.tell_options", {"countdown": 1, "priority": 5}
    _, delayed = run(
        answered_in_order(client.call("sleep", 0.5), client.send(f"/v1/tasks/{task}", {"options": options}))
    )
    assert delayed.json["result"]["priority"] == 5

    late = send(quorum.url, "/apply/add/", {"args": [1, 2], "countdown": 2, "expires": 1})
    assert late.json["state"] == "REVOKED"


def test_a_running_task_is_terminated(quorum: Web, tmp_path: Path) -> None:
    path = tmp_path / "running"
    made = call(quorum.url, "misbehaving_tasks.count_and_sleep", str(path), 60, Prefer="respond-async").json["id"]
    until(path.exists)

    get(quorum.url, f"/v1/runs/{made}?terminate=true", method="DELETE")

    assert get(quorum.url, f"/v1/runs/{made}?wait=10").json["state"] == "REVOKED"
    assert path.read_text() == "begun\n"


def test_a_consumer_that_the_broker_cancels_comes_back(quorum: Web, spare: RabbitMQ) -> None:
    assert get(quorum.url, "/add?x=1&y=2").body == "3"
    for name in spare.queues():
        spare.ctl("delete_queue", name)

    run(first_success(Client(quorum.url)))
    assert get(quorum.url, "/add?x=1&y=2").body == "3"
