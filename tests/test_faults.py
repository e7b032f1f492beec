"""The connection to a server breaks while a hundred requests are held: confirmed calls are answered, nothing hangs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis as Admin

from client import Answer, Client, all_confirmed, first_success, rate_of_unrelated_requests, run, statuses
from proxy import Proxy
from servers import RabbitMQ, Redis, need
from stack import Web, Worker, through_a_proxy
from waiting import until_async

#: Long enough for the longest fault; the tasks themselves end during it.
DEADLINE = 90

PUBLISH_TIMEOUT = 3.0

#: Seconds after which ``/readyz`` tells of any fault on the way.
NOTICED = 8

#: The statuses of a refusal.
NOS = ("/broker-unavailable", "/publish-unconfirmed", "/replies-unavailable", "/queue-too-long")


class Stack:
    """A web process and a worker that reach one of their servers through a proxy."""

    def __init__(self, url: str, server: RabbitMQ | Redis, proxy: Proxy) -> None:
        self.url, self.server, self.proxy = url, server, proxy


Fault = Callable[[Stack, float], Awaitable[None]]


@pytest.fixture(scope="module")
def broken_broker() -> Iterator[Stack]:
    with need(RabbitMQ) as server, through_a_proxy(server) as (url, proxy):
        variables = {"BROKER_URL": url, "RINGBACK_DEADLINE": str(DEADLINE)}
        with Worker(**variables), Web(**variables) as web:
            yield Stack(web.url, server, proxy)


@pytest.fixture(scope="module")
def broken_redis(rabbitmq: RabbitMQ) -> Iterator[Stack]:
    with need(Redis) as server, through_a_proxy(server) as (url, proxy):
        variables = {"BROKER_URL": rabbitmq.url, "RESULT_BACKEND": url, "TASK_QUEUE": "broken-redis"}
        variables["RINGBACK_DEADLINE"] = str(DEADLINE)
        with Worker(**variables), Web(**variables) as web:
            yield Stack(web.url, server, proxy)


@pytest.fixture(scope="module")
def broken_redis_broker() -> Iterator[Stack]:
    with need(Redis) as server, through_a_proxy(server) as (url, proxy):
        variables = {"BROKER_URL": url, "RINGBACK_DEADLINE": str(DEADLINE)}
        with Worker(**variables), Web(**variables) as web:
            yield Stack(web.url, server, proxy)


@pytest.fixture(params=["broken_broker", "broken_redis", "broken_redis_broker"])
def stack(request: pytest.FixtureRequest) -> Stack:
    broken: Stack = request.getfixturevalue(request.param)
    return broken


def on_the_way(how: Callable[[Proxy], None]) -> Fault:
    """Start a fault of the proxy, and end it after some seconds. After a long one the process says it is not ready."""

    async def fault(stack: Stack, seconds: float) -> None:
        how(stack.proxy)
        await asyncio.sleep(seconds)
        ready = await Client(stack.url).fetch("/readyz")
        stack.proxy.restore()
        if seconds >= NOTICED:
            assert ready.status == 503, ready.body

    return fault


async def restart(stack: Stack, _: float) -> None:
    """Stop the server, and start it again."""
    await asyncio.to_thread(stack.server.restart)


async def crash(stack: Stack, seconds: float) -> None:
    """Kill the server, and start it again after these seconds."""
    await asyncio.to_thread(stack.server.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(stack.server.start)


FAULTS = {
    "cut-2": (on_the_way(Proxy.cut), 2),
    "cut-8": (on_the_way(Proxy.cut), 8),
    "cut-30": (on_the_way(Proxy.cut), 30),
    "stall-15": (on_the_way(Proxy.stall), 15),
    "blackhole-15": (on_the_way(Proxy.blackhole), 15),
    "silent-1": (on_the_way(Proxy.blackhole), 1),  # the present connections for ever, while new ones work
    "restart-5": (restart, 5),
    "crash-2": (crash, 2),
}


async def fill_memory(stack: Stack, seconds: float) -> None:
    """Have Redis refuse for some seconds whatever takes memory."""
    with Admin.from_url(stack.server.url) as admin:
        admin.config_set("maxmemory", 1)
        await asyncio.sleep(seconds)
        admin.config_set("maxmemory", 0)


async def refuse_clients(stack: Stack, seconds: float) -> None:
    """End all connections, and have Redis refuse new ones for some seconds."""
    with Admin.from_url(stack.server.url, single_connection_client=True) as admin:
        admin.config_set("maxclients", 1)
        for kind in ("normal", "pubsub"):
            admin.client_kill_filter(_type=kind, skipme=True)
        await asyncio.sleep(seconds)
        admin.config_set("maxclients", 10_000)


REDIS_FAULTS = {"memory-5": (fill_memory, 5), "clients-5": (refuse_clients, 5)}


@pytest.mark.parametrize(("fault", "seconds"), FAULTS.values(), ids=FAULTS)
def test_held_requests_survive(stack: Stack, fault: Fault, seconds: float) -> None:
    survive(stack, fault, seconds)


@pytest.mark.parametrize(("fault", "seconds"), REDIS_FAULTS.values(), ids=REDIS_FAULTS)
@pytest.mark.parametrize("name", ["broken_redis", "broken_redis_broker"])
def test_held_requests_survive_a_full_redis(
    request: pytest.FixtureRequest, name: str, fault: Fault, seconds: float
) -> None:
    survive(request.getfixturevalue(name), fault, seconds)


def survive(stack: Stack, fault: Fault, seconds: float) -> None:
    """Check that held requests are answered, and others refused at worst, while a fault comes and goes."""

    async def conversation() -> None:
        client = Client(stack.url)
        calm = await rate_of_unrelated_requests(client, asyncio.sleep(2))

        # Given a hundred requests whose messages are confirmed, and whose tasks end in the course of the fault
        naps = [2.0 + seconds * number / 100 for number in range(100)]
        crowd = asyncio.create_task(client.crowd([f"/sleep/{nap:.2f}/{DEADLINE}" for nap in naps]))
        await all_confirmed(client, 100)

        # When the fault comes and goes, and new requests arrive meanwhile
        async with keep_asking(client) as newcomers:
            troubled = await rate_of_unrelated_requests(client, fault(stack, seconds))
            restored = time.monotonic()
            await first_success(client)
            recovered = time.monotonic()
            await until_async(lambda: client.fetch("/readyz"), lambda answer: answer.status == 200)

        # Then the held requests have their right result
        answers = await crowd
        assert statuses(answers) == {200}, [answer for answer in answers if answer.status != 200][:3]
        assert [answer.body for answer in answers] == [str(float(f"{nap:.2f}")) for nap in naps]
        # and the new requests have theirs, or a refusal in time
        for answer, timer in newcomers:
            assert_right_or_clear_no(answer, timer)
        # and service is normal again, and unrelated requests were not delayed
        afterwards = await client.crowd([f"/add?x={number}&y=1" for number in range(50)])
        assert [answer.body for answer in afterwards] == [str(number + 1) for number in range(50)]
        print(f"unrelated requests a second: {calm:.1f} before, {troubled:.1f} during")
        print(f"first success {recovered - restored:.2f} s after")
        assert troubled > calm / 5

    run(conversation())


def assert_right_or_clear_no(answer: Answer, timer: Answer) -> None:
    if answer.status == 200:
        assert answer.body == "3"
        return
    assert answer.status == 503, answer
    assert timer.status == 200
    assert answer.received < timer.received
    assert answer.headers["Retry-After"]
    assert json.loads(answer.body)["type"].endswith(NOS)


@asynccontextmanager
async def keep_asking(client: Client) -> AsyncIterator[list[tuple[Answer, Answer]]]:
    """Send a new request every 0.3 s, beside one that the process answers a second after the publish time-out.

    The list of both answers is complete when the block has ended.
    """
    answers: list[tuple[Answer, Answer]] = []
    paths = ["/add?x=1&y=2", f"/pause/{PUBLISH_TIMEOUT + 1}"]

    async def ask_on() -> None:
        asked = []
        while not enough.is_set():
            asked.append(asyncio.create_task(client.crowd(paths)))
            await asyncio.sleep(0.3)
        answers.extend([(answer, timer) for answer, timer in await asyncio.gather(*asked)])

    enough = asyncio.Event()
    asking = asyncio.create_task(ask_on())
    try:
        yield answers
    finally:
        enough.set()
        await asking
