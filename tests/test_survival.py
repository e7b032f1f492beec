"""After a request that misbehaves, the next fifty succeed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from client import Client, nothing_left_behind, run
from stack import Web

EXCEPTIONS = ["ValueError", "OSError", "TimeoutError", "GreenletExit"]
POISONS = ["content type", "broken json", "no status", "failure with a string"]


@pytest.fixture(params=["web", "web_on_redis", "web_with_redis_broker"])
def url(request: pytest.FixtureRequest) -> str:
    server: Web = request.getfixturevalue(request.param)
    return server.url


@asynccontextmanager
async def fifty_good_ones_after(url: str) -> AsyncIterator[Client]:
    client = Client(url)
    yield client
    answers = await client.crowd([f"/add?x={number}&y=1" for number in range(50)])
    assert [answer.body for answer in answers] == [str(number + 1) for number in range(50)]
    await nothing_left_behind(client)


@pytest.mark.parametrize("exception", EXCEPTIONS)
@pytest.mark.parametrize("where", ["raise", "raise-in-method"])
def test_a_callback_or_method_that_raises_gives_500(url: str, where: str, exception: str) -> None:
    async def conversation() -> None:
        async with fifty_good_ones_after(url) as client:
            assert (await client.fetch(f"/{where}/{exception}")).status == 500

    run(conversation())


def test_a_task_that_fails_harms_no_other_request(url: str) -> None:
    async def conversation() -> None:
        async with fifty_good_ones_after(url) as client:
            assert (await client.fetch("/error?msg=no")).status == 500

    run(conversation())


def test_a_result_after_the_504_harms_no_other_request(url: str) -> None:
    async def conversation() -> None:
        async with fifty_good_ones_after(url) as client:
            assert (await client.fetch("/sleep/1/0.3")).status == 504
            # The second call starts later and takes as long, so its reply comes after the late one.
            assert (await client.fetch("/sleep/1/10")).status == 200

    run(conversation())


def test_a_client_that_left_harms_no_other_request(url: str) -> None:
    async def conversation() -> None:
        async with fifty_good_ones_after(url) as client:
            assert (await client.fetch("/sleep/1/10", timeout=0.3)).status == 599
            assert (await client.fetch("/sleep/1/10", timeout=0.3, method="POST", body="")).status == 599

    run(conversation())


async def assert_unreadable(client: Client, path: str) -> None:
    answer = await client.fetch(path)
    assert answer.status == 502
    assert json.loads(answer.body)["type"].endswith("/unreadable-reply")


@pytest.mark.parametrize("kind", POISONS)
def test_a_malformed_reply_gives_502_at_once(web: Web, kind: str) -> None:
    async def conversation() -> None:
        async with fifty_good_ones_after(web.url) as client:
            await assert_unreadable(client, f"/poison?kind={kind.replace(' ', '+')}")

    run(conversation())


def test_a_malformed_reply_gives_502_from_redis_too(web_on_redis: Web) -> None:
    async def conversation() -> None:
        async with fifty_good_ones_after(web_on_redis.url) as client:
            await assert_unreadable(client, "/poison_redis")

    run(conversation())
