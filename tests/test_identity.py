"""Whose run it is: ids belong to callers, and a stored result is believed only for a run of this gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis as redis_py

from client import Answer, Client, call, get, look_inside, run, send, until_inside, websocket
from servers import RabbitMQ, Redis
from stack import Web, Worker, processes
from waiting import until, until_async

TASKS = "misbehaving_tasks"
MINE, OTHERS = "mine-0123456789abcdef", "other-0123456789abcdef"
CALLERS = {"RINGBACK_TOKENS": f"mine={MINE}:* other={OTHERS}:*", "RINGBACK_TERMINATE": "*"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def put(web: Web, run_id: str, task: str, *args: object, token: str = MINE) -> Answer:
    return send(web.url, f"/v1/runs/{run_id}", {"task": task, "args": args}, method="PUT", **bearer(token))


@pytest.fixture(scope="module")
def on_redis(rabbitmq: RabbitMQ, redis: Redis) -> dict[str, str]:
    return {"BROKER_URL": rabbitmq.url, "RESULT_BACKEND": redis.url, "TASK_QUEUE": f"identity-{uuid4()}"}


@pytest.fixture(scope="module")
def web(on_redis: dict[str, str]) -> Iterator[Web]:
    with Worker(**on_redis), Web(**on_redis, **CALLERS) as process:
        yield process


class Producer:
    """A program that calls tasks without this gateway."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._celery = [sys.executable, "-m", "celery", "--broker", variables["BROKER_URL"]]
        self._queue, self._results = variables["TASK_QUEUE"], variables["RESULT_BACKEND"]

    def call(self, task: str, *args: object) -> str:
        """Call a task; return its id."""
        command = [*self._celery, "call", task, "--args", json.dumps(args), "--queue", self._queue]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def result(self, task_id: str) -> object:
        """Wait for a task's result."""
        with redis_py.Redis.from_url(self._results) as client:
            return json.loads(until(lambda: client.get(f"celery-task-meta-{task_id}")))["result"]


@pytest.fixture
def producer(on_redis: dict[str, str], web: Web) -> Producer:
    return Producer(on_redis)


def test_the_id_of_anothers_task_is_no_way_to_its_result(web: Web, producer: Producer) -> None:
    secret = producer.call("echo", "secret")
    assert producer.result(secret) == "secret"

    answer = put(web, secret, "echo", "mine")

    assert (answer.status, answer.json["result"]) == (200, "mine")
    assert answer.json["task_id"] != secret


def test_the_id_of_anothers_task_is_no_way_to_stop_it(web: Web, producer: Producer, tmp_path: Path) -> None:
    path = tmp_path / "count"
    going = producer.call(f"{TASKS}.count_and_sleep", str(path), 1.5)
    until(path.exists)

    run_id = put(web, going, "sleep", 0).json["id"]
    answer = get(web.url, f"/v1/runs/{run_id}?terminate=true", method="DELETE", headers=bearer(MINE))

    assert answer.status == 200
    assert producer.result(going) == "ended"


def test_two_callers_may_have_the_same_id(web: Web) -> None:
    mine, others = put(web, "same", "add", 1, 2), put(web, "same", "add", 5, 5, token=OTHERS)

    assert (mine.json["result"], others.json["result"]) == (3, 10)
    assert get(web.url, "/v1/runs/same", headers=bearer(MINE)).json["result"] == 3
    assert get(web.url, "/v1/runs/same", headers=bearer(OTHERS)).json["result"] == 10


def test_a_run_may_be_named_like_an_order_to_revoke_another(web: Web) -> None:
    async def conversation() -> None:
        client, token = Client(web.url), bearer(MINE)
        body = {"task": "sleep", "args": [1]}
        slow = asyncio.create_task(client.send("/v1/runs/victim", body, method="PUT", **token))
        namesake = await client.send("/v1/runs/revoke-victim", {"task": "add", "args": [1, 2]}, method="PUT", **token)
        assert namesake.json["result"] == 3
        assert (await slow).json["result"] == 1

    run(conversation())


@pytest.mark.parametrize("backend", ["rpc", "redis", "shared"])
def test_after_a_restart_an_old_id_never_gives_an_old_result(
    rabbitmq: RabbitMQ, redis: Redis, worker: Worker, on_redis: dict[str, str], web: Web, backend: str
) -> None:
    variables = {**CALLERS, **({"BROKER_URL": rabbitmq.url} if backend == "rpc" else on_redis)}
    if backend == "shared":
        variables["REDIS_URL"] = redis.url
    run_id = f"restart-{backend}"
    with Web(**variables) as before:
        assert put(before, run_id, "add", 1, 2).json["result"] == 3
        before.terminate()
    with Web(**variables) as after:
        answer = put(after, run_id, "add", 5, 5)
        if backend == "shared":
            assert (answer.status, answer.json["type"]) == (422, "/problems/key-reused")
            assert put(after, run_id, "add", 1, 2).json["result"] == 3
        else:
            assert (answer.status, answer.json["result"]) == (200, 10)


def test_a_token_can_be_replaced_and_its_runs_stay(on_redis: dict[str, str], web: Web, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"web={MINE}:*")
    with Web(**on_redis, RINGBACK_TOKENS_FILE=str(file)) as process:
        assert put(process, "kept", "add", 1, 2).status == 200
        file.write_text(f"web={OTHERS}:*  # since today")
        process.hang_up()
        until(lambda: get(process.url, "/v1/runs/kept", headers=bearer(MINE)).status, lambda status: status == 401)
        assert get(process.url, "/v1/runs/kept", headers=bearer(OTHERS)).json["result"] == 3
        file.write_text("web=nonsense:")
        process.hang_up()
        process.wait_for("the tokens stay as they were")
        assert get(process.url, "/v1/runs/kept", headers=bearer(OTHERS)).status == 200


def test_every_process_of_several_reads_the_tokens_again(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"web={MINE}:*")
    variables = {"BROKER_URL": rabbitmq.url, "RINGBACK_TOKENS_FILE": str(file), "WEB_CONCURRENCY": "2"}

    def statuses(token: str) -> set[int]:
        return {get(web.url, "/v1/tasks", headers=bearer(token)).status for _ in range(20)}

    with Web(**variables) as web:
        until(lambda: web.output.count("listening for replies"), lambda count: count == 2)
        file.write_text(f"web={OTHERS}:*")
        web.hang_up()
        until(lambda: (statuses(OTHERS), statuses(MINE)), lambda seen: seen[0] == {200} and seen[1] <= {401, 429})
        assert "is replaced" not in web.output


def test_a_socket_whose_token_is_removed_is_closed(rabbitmq: RabbitMQ, worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"web={MINE}:*")

    async def conversation(process: Web) -> None:
        async with websocket(process.url, "/v1/socket", **bearer(MINE)) as socket:
            file.write_text(f"web={OTHERS}:*")
            process.hang_up()
            assert await asyncio.wait_for(socket.read_message(), 20) is None
            assert socket.close_code == 1008

    with Web(BROKER_URL=rabbitmq.url, RINGBACK_TOKENS_FILE=str(file)) as process:
        run(conversation(process))


def test_the_id_of_anothers_run_is_not_followed_by_another_process(rabbitmq: RabbitMQ, redis: Redis) -> None:
    with processes(rabbitmq, redis, 2, **CALLERS) as (maker, other):

        async def conversation() -> None:
            client = Client(maker.url)
            made = await client.call("sleep", 2, Prefer="respond-async", **bearer(MINE))
            path = made.headers["Location"]
            for _ in range(5):
                answer = await Client(other.url).fetch(path, headers=bearer(OTHERS))
                assert answer.status == 404
            assert (await look_inside(Client(other.url)))["followed"] == 0
            followed = await Client(other.url).fetch(path, headers=bearer(MINE))
            assert followed.status == 202

        run(conversation())


# -- what a caller may do


@pytest.fixture(scope="module")
def scoped(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    """A process with one caller for each scope."""
    callers = " ".join(f"{scope}={scope * 4}@{scope}:*" for scope in ("read", "call", "operate", "metrics"))
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_TOKENS=callers, RINGBACK_TERMINATE="sleep") as process:
        yield process


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/tasks", "read"),
        ("GET", "/v1/tasks/add", "read"),
        ("GET", "/v1/runs/x", "read"),
        ("GET", "/v1/runs/x/events", "read"),
        ("GET", "/openapi.json", "read"),
        ("GET", "/", "read"),
        ("GET", "/tasks/result/x/", "read"),
        ("POST", "/v1/tasks/add", "call"),
        ("PUT", "/v1/runs/x", "call"),
        ("POST", "/v1/canvas", "call"),
        ("POST", "/apply/add/", "call"),
        ("POST", "/apply-async/add/", "call"),
        ("GET", "/v1/socket", "call"),
        ("GET", "/add?x=1&y=2", "call"),
        ("POST", "/", "call"),
        ("DELETE", "/v1/runs/x", "operate"),
        ("DELETE", "/tasks/revoke/x/", "operate"),
        ("GET", "/metrics", "metrics"),
        ("GET", "/v1/queues", "metrics"),
    ],
)
def test_each_request_needs_its_scope(scoped: Web, method: str, path: str, scope: str) -> None:
    body = b"" if method in ("POST", "PUT") else None
    answers = {
        caller: get(scoped.url, path, method=method, headers=bearer(caller * 4), body=body).status
        for caller in ("read", "call", "operate", "metrics")
    }

    assert {caller for caller, status in answers.items() if status != 403} == {scope}


def test_only_named_tasks_are_terminated(web: Web, on_redis: dict[str, str], tmp_path: Path) -> None:
    with Web(**on_redis, RINGBACK_TERMINATE="sleep") as process:
        task = f"{TASKS}.count_and_sleep"
        made = call(process.url, task, str(tmp_path / "x"), 1, Prefer="respond-async")
        refused = get(process.url, made.headers["Location"] + "?terminate=true", method="DELETE")
        assert (refused.status, "RINGBACK_TERMINATE" in refused.json["detail"]) == (403, True)
        assert get(process.url, made.headers["Location"] + "?wait=10").json["result"] == "ended"


# -- erasure


def keys_with(redis: Redis, text: str) -> list[str]:
    """The keys of a Redis in whose value, of any type, a text is."""
    found = []
    with redis_py.Redis.from_url(redis.url, decode_responses=True) as client:
        read = {"string": client.get, "list": lambda name: client.lrange(name, 0, -1)}
        for key in client.scan_iter(count=1000):
            if text in str(read.get(client.type(key), lambda name: "")(key)):
                found.append(key)
    return found


def test_what_is_erased_is_nowhere(rabbitmq: RabbitMQ, redis: Redis) -> None:
    with processes(rabbitmq, redis, 2) as (maker, other):
        for number, eraser in enumerate((maker, other)):
            word = f"erase-me-{uuid4()}"
            made = call(maker.url, "echo", word, Idempotency_Key=word)
            path = made.json["links"]["self"]
            until(lambda path=path: get(other.url, path).status, lambda status: status == 200)
            assert keys_with(redis, word), number

            assert get(eraser.url, path + "?forget=true", method="DELETE").status == 204

            assert keys_with(redis, word) == []
            for web in (maker, other):
                until(lambda web=web, path=path: get(web.url, path).status, lambda status: status == 410)
            assert call(maker.url, "echo", word, Idempotency_Key=word).status == 410


def test_what_is_erased_while_it_goes_on_leaves_nothing_either(
    rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path
) -> None:
    with processes(rabbitmq, redis, 1) as [web]:

        async def conversation() -> None:
            client = Client(web.url)
            made = await client.call(f"{TASKS}.count_and_sleep", str(tmp_path / "x"), 1, Prefer="respond-async")
            waiting = asyncio.create_task(client.fetch(made.headers["Location"] + "?wait=10"))
            await until_inside(client, lambda inside: inside["held"] == 1)
            erased = await client.fetch(made.headers["Location"] + "?forget=true", method="DELETE")
            assert erased.status == 204
            assert (await waiting).json["state"] == "REVOKED"
            assert (await client.fetch(made.headers["Location"])).status == 410
            stored = f"celery-task-meta-{made.json['task_id']}"
            await until_async(lambda: look_inside(client), lambda inside: inside["ledger"] == 0)
            with redis_py.Redis.from_url(redis.url) as database:
                assert not database.exists(stored)

        run(conversation())
