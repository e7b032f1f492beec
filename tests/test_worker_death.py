"""A worker that runs out of memory in one task takes no other call with it that had not begun."""

from __future__ import annotations

import asyncio

from client import Client, run, statuses
from servers import RabbitMQ
from stack import Web, Worker


def test_in_a_pool_of_processes_only_the_task_fails(rabbitmq: RabbitMQ) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        others = [asyncio.create_task(client.call("sleep", 0.1)) for _ in range(20)]
        lost = await client.call("misbehaving_tasks.run_out_of_memory")
        assert lost.status == 500
        assert "WorkerLostError" in lost.body
        assert statuses(await asyncio.gather(*others)) == {200}
        assert statuses([await client.call("echo", str(number)) for number in range(20)]) == {200}

    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": "death-prefork", "WORKER_CONCURRENCY": "2"}
    with Worker(pool="prefork", **variables), Web(**variables) as web:
        run(conversation())


def test_what_a_dead_worker_has_not_begun_is_done_by_another(rabbitmq: RabbitMQ) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        calls = [asyncio.create_task(client.call("misbehaving_tasks.run_out_of_memory"))]
        await asyncio.to_thread(doomed.wait)
        calls += [asyncio.create_task(client.call("echo", str(number))) for number in range(20)]
        with Worker(**variables):
            assert statuses(await asyncio.gather(*calls[1:])) == {200}
            assert (await calls[0]).status == 202  # it may come back, as far as anybody knows

    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": "death-gevent", "WORKER_CONCURRENCY": "1"}
    with Web(**variables, RINGBACK_DEADLINE="10") as web, Worker(**variables) as doomed:
        run(conversation())
