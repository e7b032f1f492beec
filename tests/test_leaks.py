"""Twenty thousand requests leave nothing behind."""

from __future__ import annotations

import asyncio
import json

from client import Client, nothing_left_behind, run
from servers import RabbitMQ
from stack import Web, Worker

#: Requests of each of the three kinds in one wave.
KIND = 100


def test_20_000_requests_leave_nothing_behind(rabbitmq: RabbitMQ, worker: Worker) -> None:
    async def half() -> None:
        for _ in range(10_000 // (3 * KIND) + 1):
            answered, late, left = await asyncio.gather(
                client.crowd(["/add?x=1&y=2"] * KIND),
                client.crowd(["/sleep/0.6/0.4"] * KIND),
                client.crowd(["/sleep/0.5/25"] * KIND, timeout=0.3),
            )
            tally.append(
                [
                    [answer.status for answer in kind].count(status)
                    for kind, status in ((answered, 200), (late, 504), (left, 599))
                ]
            )

    async def conversation() -> tuple[int, int]:
        await half()
        await nothing_left_behind(client)
        first = web.rss()
        await half()
        await nothing_left_behind(client)
        return first, web.rss()

    tally: list[list[int]] = []
    with Web(BROKER_URL=rabbitmq.url) as web:
        client = Client(web.url)
        first, second = run(conversation())
        inside = json.loads(run(client.fetch("/inside")).body)

    assert [sum(kind) for kind in zip(*tally, strict=True)] == [len(tally) * KIND] * 3
    print(f"RSS {first / 2**20:.1f} MiB after the first half, {second / 2**20:.1f} MiB after the second; {inside}")
    assert second < 1.05 * first
