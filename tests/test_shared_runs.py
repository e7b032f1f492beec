"""Several web processes share a Redis, and each answers for the runs of all."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from client import Client, events, get, nothing_left_behind, run, statuses
from servers import RabbitMQ, Redis, need
from stack import Web, processes, through_a_proxy
from waiting import until_async

TASKS = "misbehaving_tasks"


@pytest.fixture(scope="module", params=["redis", "rpc"])
def pair(rabbitmq: RabbitMQ, redis: Redis, request: pytest.FixtureRequest) -> Iterator[list[Web]]:
    """Two processes, with each result backend."""
    backend = redis.url if request.param == "redis" else "rpc://"
    with processes(rabbitmq, redis, 2, RESULT_BACKEND=backend) as webs:
        yield webs


def test_any_process_answers_a_poll(pair: list[Web]) -> None:
    async def conversation() -> None:
        maker, other = (Client(web.url) for web in pair)
        done = await maker.call("add", 1, 2, Prefer="wait=10")
        made = await maker.call("sleep", 1, Prefer="respond-async")
        going = await other.fetch(made.headers["Location"])
        assert (going.status, going.json["state"]) == (202, "QUEUED")

        ended = await other.fetch(made.headers["Location"] + "?wait=10")
        assert (ended.status, ended.json["result"]) == (200, 1)
        assert ended.body == (await maker.fetch(made.headers["Location"])).body
        assert (await other.fetch(done.json["links"]["self"])).body == done.body

    run(conversation())


def test_any_process_shows_the_events_of_a_run(pair: list[Web], tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"

    async def conversation() -> None:
        maker, other = (Client(web.url) for web in pair)
        made = await maker.call(f"{TASKS}.report", 10, str(go_on), Prefer="respond-async")
        streams = [asyncio.create_task(client.fetch(made.json["links"]["events"])) for client in (other, maker, other)]
        go_on.touch()
        seen = [events(await stream) for stream in streams]
        steps = [data for _, name, data in seen[0] if name == "progress"]
        assert steps == [{"step": step} for step in range(10)]
        assert seen[0] == seen[1] == seen[2]
        for client in (maker, other):
            await nothing_left_behind(client)

    run(conversation())


def test_requests_with_one_key_are_one_run_whichever_process_they_reach(pair: list[Web], tmp_path: Path) -> None:
    path, key = str(tmp_path / "count"), str(uuid4())

    async def conversation() -> None:
        clients = [Client(web.url) for web in pair] * 10
        call = f"{TASKS}.count_and_sleep"
        answers = await asyncio.gather(*(client.call(call, path, 0.5, Idempotency_Key=key) for client in clients))
        assert statuses(answers) == {200}
        assert len({answer.body for answer in answers}) == 1
        other = await clients[1].call(call, path, 1, Idempotency_Key=key)
        assert (other.status, other.json["type"]) == (422, "/problems/key-reused")

    run(conversation())
    assert Path(path).read_text() == "begun\nended\n"


def test_an_unknown_id_is_404_everywhere(pair: list[Web]) -> None:
    assert {get(web.url, f"/v1/runs/{uuid4()}").status for web in pair} == {404}


def test_a_run_that_is_kept_no_longer_is_410_everywhere(rabbitmq: RabbitMQ, redis: Redis) -> None:
    async def conversation() -> None:
        maker, other = (Client(web.url) for web in webs)
        made = (await maker.call("add", 1, 2)).json["links"]["self"]
        for client in (other, maker):
            # A process that has not learned of the run's end answers 202.
            answer = await until_async(partial(client.fetch, made), lambda answer: answer.status not in (200, 202))
            assert (answer.status, answer.json["type"]) == (410, "/problems/forgotten-run")

    with processes(rabbitmq, redis, 2, RINGBACK_KEEP="1") as webs:
        run(conversation())


def test_after_a_restart_the_stored_answer_is_replayed(rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path) -> None:
    path = str(tmp_path / "count")

    async def ask(web: Web) -> str:
        return (await Client(web.url).call(f"{TASKS}.count_and_sleep", path, 0, Idempotency_Key="restart")).body

    with processes(rabbitmq, redis, 2) as (first, second):
        before = run(ask(first))
        assert first.terminate() == 0
        with Web(BROKER_URL=rabbitmq.url, REDIS_URL=redis.url, RESULT_BACKEND=redis.url) as restarted:
            assert run(ask(restarted)) == run(ask(second)) == before
    assert Path(path).read_text() == "begun\nended\n"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_runs_of_a_process_that_has_ended_are_taken_over(
    rabbitmq: RabbitMQ, redis: Redis, how: signal.Signals
) -> None:
    async def conversation() -> None:
        maker, other = (Client(web.url) for web in webs)
        made = (await maker.call("sleep", 4, Prefer="respond-async")).headers["Location"]
        waiting = asyncio.create_task(other.fetch(made + "?wait=20"))
        await asyncio.to_thread(webs[0].end, how)
        later = asyncio.create_task(other.fetch(made + "?wait=20"))
        for answer in (await waiting, await later):
            assert (answer.status, answer.json["state"], answer.json["result"]) == (200, "SUCCESS", 4)

    with processes(rabbitmq, redis, 2) as webs:
        run(conversation())


def test_a_result_for_a_process_that_has_ended_is_reported_as_lost(rabbitmq: RabbitMQ, redis: Redis) -> None:
    async def conversation() -> None:
        maker, other = (Client(web.url) for web in webs)
        made = (await maker.call("sleep", 30, Prefer="respond-async")).headers["Location"]
        await asyncio.to_thread(webs[0].end, signal.SIGKILL)
        answer = await other.fetch(made + "?wait=20")
        assert (answer.status, answer.json["state"]) == (200, "FAILURE")
        assert answer.json["error"]["type"] == "/problems/lost-run"

    with processes(rabbitmq, redis, 2, RESULT_BACKEND="rpc://") as webs:
        run(conversation())


def test_without_redis_only_requests_that_need_it_are_refused(rabbitmq: RabbitMQ) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        assert (await client.call("add", 1, 2)).status == 200
        await asyncio.to_thread(own.kill)
        assert (await client.call("add", 1, 2)).status == 200
        keyed = await client.call("add", 1, 2, Idempotency_Key="a")
        assert (keyed.status, keyed.json["type"]) == (503, "/problems/store-unavailable")
        later = await client.call("sleep", 0.5, Prefer="respond-async")
        assert later.status == 202
        assert (await client.fetch(later.headers["Location"] + "?wait=10")).json["result"] == 0.5

        await asyncio.to_thread(own.start)
        call = partial(client.call, "add", 1, 2, Idempotency_Key="a")
        keyed = await until_async(call, lambda answer: answer.status != 503)
        assert keyed.json["result"] == 3

    with need(Redis) as own, processes(rabbitmq, own, 1, RESULT_BACKEND="rpc://") as [web]:
        run(conversation())


def test_a_call_that_was_refused_may_be_repeated_with_its_key_at_any_process(rabbitmq: RabbitMQ, redis: Redis) -> None:
    async def conversation() -> None:
        clients = [Client(web.url) for web in webs]
        for client in clients:
            assert (await client.call("add", 1, 2)).status == 200
        proxy.cut()
        for client in clients * 2:
            assert (await client.call("add", 1, 2, Idempotency_Key="refused")).status == 503
        proxy.restore()
        for client in clients:
            call = partial(client.call, "add", 1, 2, Idempotency_Key="refused")
            answer = await until_async(call, lambda answer: answer.status != 503)
            assert (answer.status, answer.json["result"]) == (200, 3)

    with through_a_proxy(rabbitmq) as (url, proxy):
        variables = {"RESULT_BACKEND": redis.url, "RINGBACK_PUBLISH_TIMEOUT": "0.5"}
        with processes(rabbitmq, redis, 2, web_broker=url, **variables) as webs:
            run(conversation())
