"""Tens of thousands of requests leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from client import Answer, Client, look_inside, nothing_left_behind, run, statuses, until_inside
from servers import RabbitMQ, Redis
from stack import Web, Worker

#: The requests of each kind in one wave; there are three kinds.
KIND = 100

#: Of requests that wait for less than their task takes: refused, where the machine is busy, or answered too late.
REFUSED_OR_LATE = {503, 504}

#: A wave sends three kinds of requests, and returns the answers of each kind.
Wave = Callable[[Client], Awaitable[list[list[Answer]]]]


def test_20_000_requests_leave_nothing_behind(rabbitmq: RabbitMQ, worker: Worker) -> None:
    async def wave(client: Client) -> list[list[Answer]]:
        return await asyncio.gather(
            client.crowd(["/add?x=1&y=2"] * KIND),
            client.crowd(["/sleep/0.6/0.4"] * KIND),
            client.crowd(["/sleep/0.5/25"] * KIND, timeout=0.3),
        )

    with Web(BROKER_URL=rabbitmq.url) as web:
        first, second = run(two_halves(web, wave, 10_000, ({200}, REFUSED_OR_LATE, {599})))

    assert second < 1.05 * first


def test_20_000_runs_take_no_more_memory_than_they_may(rabbitmq: RabbitMQ, worker: Worker) -> None:
    async def wave(client: Client) -> list[list[Answer]]:
        return await asyncio.gather(
            asyncio.gather(*(client.call("add", 1, 2) for _ in range(KIND))),
            asyncio.gather(*(client.call("echo", "x" * 1000, Prefer="respond-async") for _ in range(KIND))),
            asyncio.gather(*(client.call("sleep", 0.5, timeout=0.3) for _ in range(KIND))),
        )

    allowed = 4 * 2**20
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_KEEP_BYTES=str(allowed)) as web:
        idle = web.rss()
        first, second = run(two_halves(web, wave, 10_000, ({200}, {200, 202}, {599})))

    assert second < 1.05 * first
    assert second - idle < 30 * 2**20  # 4 MB of them for results


@pytest.mark.parametrize("results", ["rpc", "redis", "shared"])
def test_inside_shows_a_held_call_until_it_is_answered(rabbitmq: RabbitMQ, redis: Redis, results: str) -> None:
    """``/inside`` shows a held call; otherwise the other tests' check for leaks would always pass."""
    more = {
        "rpc": {},
        "redis": {"RESULT_BACKEND": redis.url},
        "shared": {"REDIS_URL": redis.url, "RESULT_BACKEND": redis.url},
    }[results]
    tables = {"ledger", "held", "known", *({"wanted"} if more else ())}
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": f"inside-{results}", **more}

    async def conversation() -> None:
        client = Client(web.url)
        held = asyncio.create_task(client.fetch("/sleep/0/25"))
        await until_inside(client, lambda inside: all(inside[table] == 1 for table in tables))
        with Worker(**variables):
            assert (await held).status == 200
        assert (await look_inside(client))["templates"] == 1
        await nothing_left_behind(client)

    with Web(**variables) as web:
        run(conversation())


async def two_halves(web: Web, wave: Wave, requests: int, expected: tuple[set[int], ...]) -> tuple[int, int]:
    """The resident memory after so many requests, and after twice as many."""
    client = Client(web.url)
    sizes, templates = [], []
    for _ in range(2):
        for _ in range(requests // (3 * KIND) + 1):
            for answers, allowed in zip(await wave(client), expected, strict=True):
                assert statuses(answers) <= allowed
        await nothing_left_behind(client)
        sizes.append(web.rss())
        inside = await look_inside(client)
        templates.append(inside["templates"])
    print(f"RSS {sizes[0] / 2**20:.1f} MiB after the first half, {sizes[1] / 2**20:.1f} MiB after the second; {inside}")
    assert templates[0] == templates[1] < 10  # one for each task and its options
    return sizes[0], sizes[1]
