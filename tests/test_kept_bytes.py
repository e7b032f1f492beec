"""What is kept of results, errors and events has a limit of bytes, in each process and in Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from client import Client, call, get, run
from ringback.runs.event_log import BYTES_KEPT, EVENTS_KEPT, EventLog
from servers import RabbitMQ, Redis
from stack import Web, Worker, processes
from waiting import until

TASKS = "misbehaving_tasks"


@pytest.fixture(scope="module", params=["rpc", "redis"])
def limited(request: pytest.FixtureRequest, rabbitmq: RabbitMQ, redis: Redis) -> Iterator[Web]:
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": f"limited-{request.param}"}
    if request.param == "redis":
        variables["RESULT_BACKEND"] = redis.url
    with Worker(**variables), Web(**variables, RINGBACK_RESULT_LIMIT="2000", RINGBACK_ERRORS="class") as web:
        yield web


def test_a_result_over_the_limit_is_502(limited: Web) -> None:
    answer = call(limited.url, "echo", "x" * 3000)

    assert (answer.status, answer.json["type"]) == (502, "/problems/result-too-large")
    assert "RINGBACK_RESULT_LIMIT" in answer.json["detail"]
    assert len(answer.body) < 1000
    assert get(limited.url, f"/echo?msg={'x' * 3000}").status == 502
    assert call(limited.url, "echo", "x" * 1000).status == 200


def test_the_message_of_an_exception_can_be_kept_from_callers(limited: Web) -> None:
    over_http, by_handler = call(limited.url, "error", "internal"), get(limited.url, "/error?msg=internal")

    for answer in (over_http, by_handler):
        assert (answer.status, answer.json["exception"]) == (500, {"class": "Exception"})
        assert "internal" not in answer.body


def test_a_long_message_is_shortened(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_ERRORS="traceback") as web:
        answer = call(web.url, "error", "a" + "x" * 500_000 + "z")

        assert len(answer.body) < 50_000
        assert answer.json["exception"]["message"].startswith("ax")
        assert answer.json["exception"]["message"].endswith("xz")
        assert "Exception: ax" in answer.json["traceback"] or answer.json["traceback"].endswith("xz\n")


def test_the_oldest_errors_leave_when_they_are_too_many_bytes(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_KEEP_BYTES="100000") as web:

        async def conversation() -> None:
            client = Client(web.url)
            ids = [(await client.call("error", "x" * 4000)).json["id"] for _ in range(30)]
            statuses = [(await client.fetch(f"/v1/runs/{run_id}")).status for run_id in ids]
            assert statuses[0] == 410
            assert statuses[-1] == 200
            assert 5 <= statuses.count(200) <= 100_000 // 4000

        run(conversation())


@pytest.fixture
def database(redis: Redis) -> Iterator[redis_py.Redis]:
    with redis_py.Redis.from_url(redis.url, decode_responses=True) as client:
        yield client


def test_the_oldest_runs_leave_redis_when_they_are_too_many_bytes(
    rabbitmq: RabbitMQ, redis: Redis, database: redis_py.Redis
) -> None:
    database.delete("ringback:all:bytes", "ringback:all:sizes", "ringback:all:ended")
    with processes(rabbitmq, redis, 2, RINGBACK_KEEP_BYTES="100000") as (maker, other):
        ids = [call(maker.url, "echo", "x" * 5000, Idempotency_Key=str(number)).json["id"] for number in range(60)]
        until(lambda: get(other.url, f"/v1/runs/{ids[-1]}").status, lambda status: status == 200)

        kept = [run_id for run_id in ids if database.exists(f"ringback:run:anybody/{run_id}")]
        assert kept == ids[-len(kept) :]
        assert 5 <= len(kept) <= 100_000 // 5000
        assert get(other.url, f"/v1/runs/{ids[0]}").status == 410
        assert 0 < int(database.get("ringback:all:bytes") or 0) <= 100_000
        assert database.zcard("ringback:all:ended") == database.hlen("ringback:all:sizes")
        assert not database.exists(f"ringback:events:anybody/{ids[0]}")


def test_a_talkative_task_keeps_its_last_events(rabbitmq: RabbitMQ, redis: Redis, database: redis_py.Redis) -> None:
    with processes(rabbitmq, redis, 1) as [web]:
        made = call(web.url, f"{TASKS}.report_at_length", 200, 20_000)
        assert made.status == 200
        name = f"ringback:events:anybody/{made.json['id']}"
        until(lambda: database.lrange(name, -1, -1), lambda last: last and '"result"' in last[0])
        assert sum(map(len, database.lrange(name, 0, -1))) < 1.2 * BYTES_KEPT


def test_progress_that_is_too_long_is_left_out(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url) as web:
        made = call(web.url, f"{TASKS}.report_at_length", 3, 100_000)

        assert (made.status, made.json["result"], "progress" in made.json) == (200, 3, False)
        web.wait_for("the progress of task .* is dropped")


def test_an_event_log_has_two_limits() -> None:
    log = EventLog()
    for number in range(2 * EVENTS_KEPT):
        log.add("progress", str(number))
    assert (len(log), log.last) == (EVENTS_KEPT, 2 * EVENTS_KEPT)

    for _ in range(3):
        log.add("progress", "x" * BYTES_KEPT)
    assert len(log) == 1
    assert log.size == BYTES_KEPT
    assert [event.number for event in log.after(0)] == [2 * EVENTS_KEPT + 3]
