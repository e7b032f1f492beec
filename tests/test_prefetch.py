"""A worker that takes no more tasks than it does at once takes the next one as soon as one begins."""

from __future__ import annotations

import pytest

from client import Client, run, statuses
from servers import RabbitMQ
from stack import Web, Worker

#: More than could be done within the deadline if each waited until the worker looks whether it is to end.
COUNT = 100


@pytest.mark.parametrize("pool", ["", "threads", "prefork", "solo"])
def test_one_slot_does_one_task_after_the_other(rabbitmq: RabbitMQ, pool: str) -> None:
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": f"one-slot-{pool}", "WORKER_CONCURRENCY": "1"}
    with Worker(pool=pool, **variables), Web(**variables) as web:

        async def conversation() -> set[int]:
            return statuses(await Client(web.url).crowd(f"/add?x={number}&y=1" for number in range(COUNT)))

        assert run(conversation()) == {200}
