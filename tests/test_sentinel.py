"""Redis behind Sentinel: the master is killed while requests are held, and the replica takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis.sentinel import Sentinel

from client import Client, all_confirmed, first_success, run, statuses
from servers import SentinelRedis, need
from stack import Web, Worker
from waiting import until


@pytest.fixture
def redis() -> Iterator[SentinelRedis]:
    """A group whose sentinels know each other and the replica, which has all that the master has."""
    with need(SentinelRedis) as group:
        watch = Sentinel([("127.0.0.1", sentinel.port) for sentinel in group.sentinels])
        until(lambda: [seen(sentinel) for sentinel in watch.sentinels], lambda each: set(each) == {(1, 2, "ok")})
        for sentinel in watch.sentinels:
            sentinel.close()
        yield group


def seen(sentinel: Any) -> tuple[int, int, str]:
    """The replicas and other sentinels that one knows, and how the replica's link to the master is."""
    state = sentinel.sentinel_masters()[SentinelRedis.MASTER]
    replicas = sentinel.sentinel_slaves(SentinelRedis.MASTER)
    return state["num-slaves"], state["num-other-sentinels"], replicas[0]["master-link-status"] if replicas else ""


def test_held_requests_survive_a_failover(redis: SentinelRedis) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        crowd = asyncio.create_task(client.crowd([f"/sleep/{2 + number / 10:.1f}/60" for number in range(100)]))
        await all_confirmed(client, 100)
        await asyncio.to_thread(redis.master.kill)

        answers = await crowd
        assert statuses(answers) == {200}
        await first_success(client)
        afterwards = await client.crowd([f"/add?x={number}&y=1" for number in range(50)])
        assert [answer.body for answer in afterwards] == [str(number + 1) for number in range(50)]

    variables = {"BROKER_URL": redis.url, "REDIS_URL": redis.url, "REDIS_MASTER": SentinelRedis.MASTER}
    variables["RINGBACK_DEADLINE"] = "60"
    with Worker(**variables), Web(**variables) as web:
        run(conversation())
