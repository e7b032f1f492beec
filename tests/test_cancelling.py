"""A run that is cancelled by its id, or whose last waiting client has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from client import Answer, Client, events, get, nothing_left_behind, run, send
from servers import RabbitMQ, Redis
from stack import Web, Worker, through_a_proxy
from waiting import until_async

TASK = "misbehaving_tasks.count_and_sleep"


@pytest.fixture(params=["web", "web_on_redis", "web_with_redis_broker"])
def url(request: pytest.FixtureRequest) -> str:
    server: Web = request.getfixturevalue(request.param)
    return server.url


def later(path: Path) -> dict[str, Any]:
    """The body of a call that waits in the worker for its countdown."""
    return {"args": [str(path), 0], "options": {"countdown": 2}}


async def until_it_runs(path: Path) -> None:
    await until_async(path.exists)


async def ended(client: Client, made: Answer) -> Answer:
    """The poll of a run that has ended."""
    return await client.fetch(f"/v1/runs/{made.json['id']}?wait=20")


def test_a_run_that_is_cancelled_before_its_start_never_starts(url: str, tmp_path: Path) -> None:
    async def conversation() -> None:
        client = Client(url)
        path = tmp_path / "ran"
        waiting = asyncio.create_task(client.send(f"/v1/tasks/{TASK}", later(path), Idempotency_Key=str(path)))
        made = await client.send(f"/v1/tasks/{TASK}", later(path), Idempotency_Key=str(path), Prefer="respond-async")
        stream = asyncio.create_task(client.fetch(made.json["links"]["events"]))

        cancelled = await client.fetch(made.json["links"]["cancel"], method="DELETE")

        assert (cancelled.status, cancelled.json["id"]) == (202, made.json["id"])
        waited = await waiting
        assert (waited.status, waited.json["type"]) == (409, "/problems/task-revoked")
        assert (await ended(client, made)).json["state"] == "REVOKED"
        assert events(await stream)[-1][2]["state"] == "REVOKED"
        again = await client.fetch(made.json["links"]["self"], method="DELETE")
        assert (again.status, again.json["state"]) == (200, "REVOKED")
        assert not path.exists()

    run(conversation())


def test_a_running_task_is_stopped_by_terminate(url: str, tmp_path: Path) -> None:
    path = tmp_path / "ran"

    async def conversation() -> None:
        client = Client(url)
        made = await client.call(TASK, str(path), 60, Prefer="respond-async")
        await until_it_runs(path)
        cancelled = await client.fetch(made.json["links"]["cancel"] + "?terminate=true", method="DELETE")
        assert cancelled.status == 202
        assert (await ended(client, made)).json["state"] == "REVOKED"

    run(conversation())
    assert path.read_text() == "begun\n"


def test_a_running_task_is_not_stopped_without_terminate(url: str, tmp_path: Path) -> None:
    path = tmp_path / "ran"

    async def conversation() -> None:
        client = Client(url)
        made = await client.call(TASK, str(path), 2, Prefer="respond-async")
        await until_it_runs(path)
        assert (await client.fetch(made.json["links"]["cancel"], method="DELETE")).status == 202
        assert (await ended(client, made)).json["state"] == "SUCCESS"

    run(conversation())
    assert path.read_text() == "begun\nended\n"


def test_a_canvas_is_cancelled_with_all_its_members(url: str, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    group = {"group": [{"task": TASK, **later(path)} for path in paths]}

    made = send(url, "/v1/canvas", group, Prefer="respond-async")
    assert made.status == 202, made.body
    get(url, made.json["links"]["cancel"], method="DELETE")

    assert get(url, f"/v1/runs/{made.json['id']}?wait=20").json["state"] == "REVOKED"
    assert not [path for path in paths if path.exists()]


def test_a_run_whose_message_has_not_left_is_dropped_at_once(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    path, queue = tmp_path / "ran", f"outbox-{uuid4()}"

    async def conversation() -> None:
        client = Client(web.url)
        assert (await client.call("add", 1, 2)).status == 200
        proxy.cut()
        waiting = asyncio.create_task(client.send(f"/v1/runs/{queue}", {"task": TASK, "args": [str(path), 0]}, "PUT"))
        await until_async(lambda: client.fetch(f"/v1/runs/{queue}"), lambda poll: poll.status != 404)
        cancelled = await client.fetch(f"/v1/runs/{queue}", method="DELETE")
        assert (cancelled.status, cancelled.json["state"]) == (200, "REVOKED")
        assert (await waiting).status == 409
        proxy.restore()
        await until_async(lambda: client.call("add", 1, 2), lambda answer: answer.status == 200)
        await nothing_left_behind(client)

    with (
        through_a_proxy(rabbitmq) as (url, proxy),
        Web(BROKER_URL=url, TASK_QUEUE=queue) as web,
        Worker(BROKER_URL=rabbitmq.url, TASK_QUEUE=queue),
    ):
        run(conversation())
    assert not path.exists()


def test_a_run_that_is_dropped_after_its_time_never_starts(url: str, tmp_path: Path) -> None:
    path, other = tmp_path / "ran", tmp_path / "other"
    answer = send(url, f"/v1/tasks/{TASK}", later(path), Cancel_After="0.5")

    assert answer.status == 504
    # A second run, which would start after the first has ended.
    assert send(url, f"/v1/tasks/{TASK}", later(other)).status == 200
    assert not path.exists()


@pytest.fixture(scope="module")
def dropping(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    """A process that drops runs without a waiting client."""
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_CLIENT_GONE=f"{TASK}:terminate misbehaving_tasks.*:revoke") as web:
        yield web


async def until_metrics(client: Client, name: str, value: float) -> None:
    """Wait until a metric has this value; a poll of the run itself would count as a waiting client."""
    line = f"\n{name} {float(value)}\n"
    await until_async(lambda: client.fetch("/metrics"), lambda metrics: line in metrics.body)


async def hang_up(web: Web, request: bytes, when: Any) -> None:
    """Send a request on a new connection, and close it when the condition holds."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
    writer.write(request)
    await when
    writer.close()
    await writer.wait_closed()


def put(run_id: str, document: object) -> bytes:
    """The bytes of a PUT request."""
    body = json.dumps(document).encode()
    head = f"PUT /v1/runs/{run_id} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_run_that_its_client_has_left_is_revoked(dropping: Web, tmp_path: Path) -> None:
    path, run_id = tmp_path / "ran", str(uuid4())
    document = {"task": "misbehaving_tasks.count_to", "args": [str(path)], "options": {"countdown": 2}}

    async def conversation() -> None:
        client = Client(dropping.url)
        await hang_up(dropping, put(run_id, document), until_metrics(client, "ringback_waited_calls", 1))
        await until_metrics(client, "ringback_waited_calls", 0)
        poll = await client.fetch(f"/v1/runs/{run_id}")
        assert (poll.status, poll.json["state"]) == (200, "REVOKED")

    run(conversation())
    assert not path.exists()


def test_a_run_that_its_client_has_left_is_terminated(dropping: Web, tmp_path: Path) -> None:
    path, run_id = tmp_path / "ran", str(uuid4())

    async def conversation() -> None:
        client = Client(dropping.url)
        await hang_up(dropping, put(run_id, {"task": TASK, "args": [str(path), 60]}), until_it_runs(path))
        await until_metrics(client, "ringback_waited_calls", 0)
        assert (await client.fetch(f"/v1/runs/{run_id}")).json["state"] == "REVOKED"

    run(conversation())
    assert path.read_text() == "begun\n"


def test_only_the_last_of_two_clients_ends_a_run(dropping: Web, tmp_path: Path) -> None:
    path, run_id = tmp_path / "ran", str(uuid4())
    request = put(run_id, {"task": TASK, "args": [str(path), 60]})

    async def conversation() -> None:
        client = Client(dropping.url)
        second_may_go = asyncio.Event()
        second = asyncio.create_task(hang_up(dropping, request, second_may_go.wait()))
        await until_it_runs(path)
        await until_metrics(client, "ringback_held_requests", 2)  # with the one that asks
        await hang_up(dropping, request, until_metrics(client, "ringback_held_requests", 3))
        await until_metrics(client, "ringback_held_requests", 2)
        assert (await client.call("sleep", 1)).status == 200
        await until_metrics(client, "ringback_waited_calls", 1)  # it goes on
        second_may_go.set()
        await second
        await until_metrics(client, "ringback_waited_calls", 0)
        assert (await client.fetch(f"/v1/runs/{run_id}")).json["state"] == "REVOKED"

    run(conversation())
    assert path.read_text() == "begun\n"


def test_a_client_that_was_answered_202_has_not_gone(dropping: Web, tmp_path: Path) -> None:
    path = tmp_path / "ran"

    async def conversation() -> None:
        client = Client(dropping.url)
        made = await client.call(TASK, str(path), 2, Prefer="wait=1")
        assert made.status == 202
        assert (await ended(client, made)).json["state"] == "SUCCESS"

    run(conversation())


def test_by_default_a_run_goes_on_without_its_client(web: Web, tmp_path: Path) -> None:
    path, run_id = tmp_path / "ran", str(uuid4())

    async def conversation() -> None:
        client = Client(web.url)
        await hang_up(web, put(run_id, {"task": TASK, "args": [str(path), 1]}), until_it_runs(path))
        answer = await client.fetch(f"/v1/runs/{run_id}?wait=20")
        assert (answer.status, answer.json["state"]) == (200, "SUCCESS")

    run(conversation())
    assert path.read_text() == "begun\nended\n"


def test_a_client_at_another_process_keeps_a_run_alive(rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path) -> None:
    path, run_id = tmp_path / "ran", str(uuid4())
    shared = {
        "BROKER_URL": rabbitmq.url,
        "REDIS_URL": redis.url,
        "RESULT_BACKEND": redis.url,
        "TASK_QUEUE": f"shared-{run_id}",
    }
    shared["RINGBACK_CLIENT_GONE"] = "*:terminate"
    request = put(run_id, {"task": TASK, "args": [str(path), 60]})

    async def conversation() -> None:
        client, other = Client(maker.url), Client(second.url)
        second_may_go = asyncio.Event()

        async def attached() -> None:
            await until_it_runs(path)
            waiting = asyncio.create_task(hang_up(second, request, second_may_go.wait()))
            waits.append(waiting)
            await until_metrics(other, "ringback_held_requests", 2)

        waits: list[asyncio.Task[None]] = []
        await hang_up(maker, request, attached())
        await until_metrics(client, "ringback_held_requests", 1)
        assert (await client.call("sleep", 1)).status == 200
        await until_metrics(client, "ringback_waited_calls", 1)  # it goes on
        second_may_go.set()
        await waits[0]
        await until_metrics(client, "ringback_waited_calls", 0)
        assert (await client.fetch(f"/v1/runs/{run_id}")).json["state"] == "REVOKED"

    with Worker(**shared), Web(**shared) as maker, Web(**shared) as second:
        run(conversation())
    assert path.read_text() == "begun\n"
