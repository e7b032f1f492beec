"""Nothing that a caller or a stranger does ten thousand times leaves an entry behind that outlives its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from client import Client, look_inside, run, websocket
from keep_alive import Request, statuses_of
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until_async

MANY = 10_000
AT_ONCE = 50
TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def web(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    """A process that forgets its runs after a second, and takes task names that it does not know."""
    variables = {"RINGBACK_TOKENS": f"me={TOKEN}:*", "RINGBACK_PROXIES": "127.0.0.1", "RINGBACK_TASKS": "*"}
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_KEEP="1", **variables) as process:
        yield process


ACTS: dict[str, tuple[Callable[[int], Request], set[int]]] = {
    "invented tasks": (lambda n: call(f"invented.{n}", {"args": [n]}, Cancel_After="60"), {500}),
    "ids of runs": (lambda n: Request(f"/v1/runs/run-{n}", "PUT", {"task": "add", "args": [1, n]}, BEARER), {200}),
    "keys": (lambda n: call("add", {"args": [1, n]}, Idempotency_Key=f"key-{n}"), {200}),
    "unknown ids": (lambda n: Request(f"/v1/runs/unknown-{n}", headers=BEARER), {404}),
    "unknown streams": (lambda n: Request(f"/v1/runs/unknown-{n}/events", headers=BEARER), {404}),
    "bad bodies": (lambda n: call("add", {"kwargs": {f"k{n}": n}}), {422}),
    "priorities and delays": (
        lambda n: call("add", {"args": [1, n], "options": {"priority": n % 256, "countdown": n / 1e6}}),
        {200},
    ),
    "wrong tokens of many addresses": (
        lambda n: Request(
            "/v1/tasks",
            headers={"X-Forwarded-For": f"10.{n % 7}.{n // 256}.{n % 256}", "Authorization": f"Bearer {n}"},
        ),
        {401, 429},
    ),
    "tickets": (lambda n: Request("/v1/tickets", "POST", headers=BEARER), {201}),
    "names of hosts": (lambda n: Request("/livez", headers={"Host": f"h{n}.example"}), {200}),
    "paths": (lambda n: Request(f"/nothing/{n}?x={n}"), {404}),
}


def call(task: str, document: object, **headers: str) -> Request:
    """A call of a task; an underscore in a header's name stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(f"/v1/tasks/{task}", "POST", document, {**BEARER, **named})


@pytest.mark.parametrize("what", ACTS)
def test_the_tables_are_as_before(web: Web, what: str) -> None:
    act, statuses = ACTS[what]

    async def conversation() -> None:
        client = Client(web.url)
        # First so many that what is kept once for all is there.
        await statuses_of(web.url, (act(MANY + number) for number in range(3)))
        await settled(client, {})
        before = await look_inside(client)
        assert await statuses_of(web.url, map(act, range(MANY)), AT_ONCE) <= statuses
        await settled(client, before)

    run(conversation())


def test_sockets_that_come_and_go_leave_nothing(web: Web) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        before = await look_inside(client)
        for _ in range(500):
            async with websocket(web.url, "/v1/socket", **BEARER) as socket:
                await socket.write_message('{"id": "a", "task": "add", "args": [1, 2]}')
                await socket.read_message()
        await settled(client, before)

    run(conversation())


async def settled(client: Client, before: dict[str, int]) -> None:
    """Wait until the process holds no run any more, and nothing else that it did not hold before."""

    def is_settled(inside: dict[str, int]) -> bool:
        allowed = {**dict.fromkeys(inside, 0), **before, "templates": before.get("templates", 1000), "failures": 1}
        for once in ("backends", "drainers", "descriptions", "chatting", "labels"):
            allowed[once] = before.get(once, 1000)
        return all(inside[name] <= allowed[name] for name in inside)

    async def look() -> dict[str, int]:
        # What is too old is dropped when the next request comes.
        await client.fetch("/v1/runs/none", headers=BEARER)
        await client.fetch("/v1/tasks", headers={"Authorization": "Bearer wrong"})
        return await look_inside(client)

    await until_async(look, is_settled)
