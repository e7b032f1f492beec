"""One who offers too much does not touch another: each caller, or address, has its share of places and of turns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from client import Answer, Client, run, until_inside, websocket
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until_async

SLOTS, TASK = 5, 0.1
CAPACITY = SLOTS / TASK

#: As two callers have them, and the headers that name them.
TOKENS = "hog=hoghoghoghoghoghoghog light=lightlightlightlight"
HOG, LIGHT = {"Authorization": "Bearer hoghoghoghoghoghoghog"}, {"Authorization": "Bearer lightlightlightlight"}


@pytest.fixture(scope="module")
def variables(rabbitmq: RabbitMQ) -> dict[str, str]:
    return {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": "fairness", "WORKER_CONCURRENCY": str(SLOTS)}


@pytest.fixture(scope="module")
def worker(variables: dict[str, str]) -> Iterator[Worker]:
    with Worker(**variables) as process:
        yield process


async def offer(client: Client, path: str, rate: float, seconds: float, **options: Any) -> list[Answer]:
    """Send requests without waiting for their answers."""
    sent = []
    for _ in range(int(rate * seconds)):
        sent.append(asyncio.create_task(client.fetch(path, **options)))
        await asyncio.sleep(1 / rate)
    return await asyncio.gather(*sent)


async def two(
    web: Web, hog: dict[str, Any], light: dict[str, Any], path: str = f"/sleep?seconds={TASK}"
) -> tuple[list[Answer], list[Answer]]:
    """Have one offer five times the capacity, and another a tenth of it; returns the answers of both."""
    client = Client(web.url)
    await client.fetch(path, **light)  # the queue is there
    return await asyncio.gather(
        offer(client, path, 5 * CAPACITY, 6, **hog), offer(client, path, CAPACITY / 10, 6, **light)
    )


def check(hog: list[Answer], light: list[Answer]) -> None:
    assert {answer.status for answer in light} == {200}
    found = Counter(answer.status for answer in hog)
    assert found.keys() <= {200, 503, 504}
    assert found[503] > found[200] > 3 * len(light)  # it has all that the other does not want
    assert found[504] <= 0.05 * len(hog)
    accepted = [answer.took for answer in hog if answer.status == 200]
    assert median(answer.took for answer in light) < 0.5 * max(accepted)


CALLERS = [
    ({"network_interface": "127.0.0.1"}, {"network_interface": "127.0.0.2"}, {}),
    ({"headers": HOG}, {"headers": LIGHT}, {"RINGBACK_TOKENS": TOKENS}),
    (
        {"headers": {"X-Forwarded-For": "192.0.2.1"}},
        {"headers": {"X-Forwarded-For": "192.0.2.2"}},
        {"RINGBACK_PROXIES": "127.0.0.1"},
    ),
]


@pytest.mark.parametrize(("hog", "light", "more"), CALLERS, ids=["addresses", "tokens", "behind a proxy"])
def test_five_times_the_capacity_does_not_touch_another(
    variables: dict[str, str], worker: Worker, hog: dict[str, Any], light: dict[str, Any], more: dict[str, str]
) -> None:
    with Web(**variables, **more, RINGBACK_DEADLINE="4") as web:
        check(*run(two(web, hog, light)))


def test_calls_that_nobody_waits_for_do_not_touch_another(variables: dict[str, str], worker: Worker) -> None:
    async def conversation() -> tuple[list[Answer], list[Answer]]:
        body = f'{{"args": [{TASK}]}}'
        headers = {"Content-Type": "application/json", **HOG, "Prefer": "respond-async"}
        client = Client(web.url)
        await client.fetch("/sleep?seconds=0", headers=LIGHT)
        hog = offer(client, "/v1/tasks/sleep", 5 * CAPACITY, 6, method="POST", body=body, headers=headers)
        answers = await asyncio.gather(hog, offer(client, f"/sleep?seconds={TASK}", CAPACITY / 10, 6, headers=LIGHT))
        await until_inside(client, lambda inside: inside["ledger"] == 0)
        return answers[0], answers[1]

    with Web(**variables, RINGBACK_TOKENS=TOKENS, RINGBACK_DEADLINE="4") as web:
        hog, light = run(conversation())

    assert {answer.status for answer in light} == {200}
    found = Counter(answer.status for answer in hog)
    assert found.keys() <= {200, 202, 429}
    assert found[429] >= found[202]
    refused = next(answer for answer in hog if answer.status == 429)
    assert refused.json["type"] == "/problems/too-many-open"
    assert "hog" in refused.json["detail"]
    assert int(refused.headers["Retry-After"]) >= 1


def test_places_are_shared(variables: dict[str, str]) -> None:
    async def conversation() -> None:
        client, held = Client(web.url), []
        for number in range(10):
            held.append(asyncio.create_task(client.fetch("/sleep?seconds=1", headers=HOG)))
            await until_inside(client, lambda inside, count=number + 1: inside["ledger"] == count)  # type: ignore[misc]

        full = await client.fetch("/sleep?seconds=1", headers=HOG)
        assert (full.status, full.json["type"]) == (503, "/problems/too-many-held")
        held.append(asyncio.create_task(client.fetch("/sleep?seconds=1", headers=LIGHT)))
        await until_inside(client, lambda inside: inside["ledger"] == 11)
        shared = await client.call("sleep", 1, **HOG)
        assert (shared.status, shared.json["type"]) == (429, "/problems/too-many-open")
        assert "hog has 10 open calls, and its share is 9 while others have 1" in shared.json["detail"]
        assert shared.headers["Retry-After"] == "1"
        assert (await client.fetch("/readyz")).status == 200

        # A canvas takes as many places as it has members
        group = {"group": [{"task": "sleep", "args": [1]}] * 2}
        canvas = await client.send("/v1/canvas", group, **LIGHT)
        assert (canvas.status, canvas.json["type"]) == (429, "/problems/too-many-open")
        metrics = (await client.fetch("/metrics", headers=LIGHT)).body
        assert 'ringback_refused_total{caller="token",reason="too-many-open"} 2.0' in metrics
        assert {answer.status for answer in await asyncio.gather(*held)} == {504}

    few = {"TASK_QUEUE": "nobody", "RINGBACK_HELD_LIMIT": "10", "RINGBACK_NO_WORKER": "0", "RINGBACK_DEADLINE": "8"}
    with Web(**{**variables, **few}, RINGBACK_TOKENS=TOKENS) as web:
        run(conversation())


def test_weights_are_shares(variables: dict[str, str], worker: Worker) -> None:
    async def conversation() -> tuple[int, int]:
        client, path = Client(web.url), f"/sleep?seconds={TASK}"
        await client.fetch(path, headers=LIGHT)
        hog, heavy = await asyncio.gather(
            offer(client, path, 2 * CAPACITY, 10, headers=HOG), offer(client, path, 2 * CAPACITY, 10, headers=LIGHT)
        )
        late = [[answer for answer in answers[len(answers) // 2 :] if answer.status == 200] for answers in (hog, heavy)]
        return len(late[0]), len(late[1])

    with Web(**variables, RINGBACK_TOKENS=TOKENS, RINGBACK_WEIGHTS="light:3", RINGBACK_DEADLINE="2") as web:
        hog, heavy = run(conversation())
        assert 2 * hog < heavy < 4.5 * hog


def test_streams_and_sockets_are_shared(variables: dict[str, str]) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        async with AsyncExitStack() as stack:
            for _ in range(6):
                await stack.enter_async_context(websocket(web.url, "/v1/socket", **HOG))
            await until_inside(client, lambda inside: inside["streams"] == 1)
            with pytest.raises(HTTPClientError, match="429"):
                async with websocket(web.url, "/v1/socket", **HOG):
                    pass
            started = await client.call("sleep", 1, Prefer="respond-async", **HOG)
            run_path = f"/v1/runs/{started.json['id']}"
            assert (await client.fetch(run_path, headers=HOG)).status == 202  # which waits for nothing
            for path in (f"{run_path}?wait=5", f"{run_path}/events"):
                refused = await client.fetch(path, headers=HOG)
                assert (refused.status, refused.json["type"]) == (429, "/problems/too-many-open")
                assert "hog has 6 open streams, sockets and polls" in refused.json["detail"]
            async with websocket(web.url, "/v1/socket", **LIGHT):
                pass
        await until_inside(client, lambda inside: inside["streams"] == 0)

    few = {"RINGBACK_CONNECTION_LIMIT": "10", "RINGBACK_TOKENS": TOKENS, "RINGBACK_NO_WORKER": "0"}
    with Web(**variables, **few) as web:
        run(conversation())


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_polls_and_cancellations_are_limited(variables: dict[str, str], method: str) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        asked = [client.fetch("/v1/runs/nothing", method=method, headers=HOG) for _ in range(60)]
        found = Counter(answer.status for answer in await asyncio.gather(*asked))
        assert found.keys() == {404, 429}
        assert found[404] >= 20
        assert (await client.fetch("/v1/runs/nothing", method=method, headers=LIGHT)).status == 404
        await until_async(
            lambda: client.call("sleep", 0, Prefer="respond-async", **HOG), lambda answer: answer.status in (200, 202)
        )

    with Web(**variables, RINGBACK_TOKENS=TOKENS, RINGBACK_RATE="2", RINGBACK_NO_WORKER="0") as web:
        run(conversation())
