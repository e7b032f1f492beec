"""A worker goes on when the broker closes its channel, or refuses a reply for ever."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import kombu
import pytest

from client import Answer, Client, call, get, run, send
from servers import RabbitMQ, Redis, need
from stack import Web, Worker
from waiting import until

#: The largest message that the broker takes, in bytes.
LIMIT = 100_000


@pytest.fixture(scope="module")
def strict() -> Iterator[RabbitMQ]:
    """A broker that closes a channel on which a task is held for two seconds, and takes no large message."""
    limits = ("consumer_timeout = 2000", f"max_message_size = {LIMIT}")
    with need(partial(RabbitMQ, *limits)) as server:
        yield server


@pytest.mark.parametrize("pool", ["", "prefork", "threads", "solo"])
def test_a_task_that_is_held_for_too_long_does_not_stop_the_worker(strict: RabbitMQ, tmp_path: Path, pool: str) -> None:
    path = tmp_path / "times"
    variables = {"BROKER_URL": strict.url, "TASK_QUEUE": f"held-{pool}"}
    with Worker(pool=pool, **variables) as worker, Web(**variables) as web:
        # Given a task with a countdown for which the broker closes the worker's channel, after 2 to 3 s and then every
        # 3 s. It is due between two of these moments: a start that the broker does not hear of is delivered again.
        options = {"args": [str(path)], "options": {"countdown": 7}}
        made = send(web.url, "/v1/tasks/misbehaving_tasks.count_to", options, Prefer="respond-async").json["id"]
        worker.wait_for("PRECONDITION_FAILED")

        # Then the worker takes other tasks, and runs this one once, though it was delivered several times
        assert get(web.url, "/add?x=1&y=2").body == "3"
        assert get(web.url, f"/v1/runs/{made}?wait=20").json["state"] == "SUCCESS"
        assert get(web.url, "/sleep/1/20").body == "1.0"
        assert len(path.read_text().splitlines()) == 1


def test_a_task_that_runs_for_too_long_before_it_is_acknowledged_does_not_stop_the_worker(
    strict: RabbitMQ, tmp_path: Path
) -> None:
    variables = {"BROKER_URL": strict.url, "TASK_QUEUE": "late"}
    with Worker(**variables) as worker, Web(**variables) as web:
        go_on = tmp_path / "go on"
        made = call(web.url, "misbehaving_tasks.late_until", str(go_on), Prefer="respond-async").json["id"]
        worker.wait_for("PRECONDITION_FAILED")

        assert get(web.url, "/add?x=1&y=2").body == "3"
        go_on.touch()
        assert get(web.url, f"/v1/runs/{made}?wait=20").json["state"] == "SUCCESS"
        assert get(web.url, "/add?x=1&y=3").body == "4"


def test_a_queue_that_the_broker_refuses_to_declare_is_tried_again(strict: RabbitMQ) -> None:
    # Given a queue that exists with another type
    other = {"BROKER_URL": strict.url, "TASK_QUEUE": "other", "TASK_QUEUE_TYPE": "quorum"}
    with Worker(**other):
        pass

    variables = {"BROKER_URL": strict.url, "TASK_QUEUE": "other"}
    with Worker(ready="PRECONDITION_FAILED", **variables) as worker, Web(**variables) as web:
        # When it is deleted
        strict.ctl("delete_queue", "other")

        # Then the worker takes tasks
        worker.wait_for(r"ready\.")
        assert get(web.url, "/add?x=1&y=2").body == "3"


@pytest.fixture(scope="module")
def narrow(strict: RabbitMQ) -> Iterator[Web]:
    variables = {"BROKER_URL": strict.url, "TASK_QUEUE": "narrow"}
    with Worker(**variables), Web(**variables) as web:
        yield web


def test_a_reply_that_is_too_large_fails_its_task_and_no_other(narrow: Web) -> None:
    async def conversation() -> list[str]:
        client = Client(narrow.url)
        sizes = [10, LIMIT * 2, 20, LIMIT * 3, 30]
        answers = await asyncio.gather(*(client.call("misbehaving_tasks.big", size) for size in sizes))
        return [answer.body for answer in answers]

    small, large, other, larger, last = run(conversation())
    for text in (small, other, last):
        assert "xxxxxxxxxx" in text
    for text, size in ((large, LIMIT * 2), (larger, LIMIT * 3)):
        assert "ReplyRefused" in text
        assert re.search(rf"a reply of {str(size)[0]}\d{{5}} bytes", text)
        assert str(LIMIT) in text
    assert get(narrow.url, "/add?x=1&y=2").body == "3"


@pytest.mark.parametrize("task", ["fail_at_length", "report_at_length_once"])
def test_a_failure_or_a_report_that_is_too_large_becomes_a_short_failure(narrow: Web, task: str) -> None:
    answer = call(narrow.url, f"misbehaving_tasks.{task}", LIMIT * 2)

    assert "ReplyRefused" in answer.body
    assert get(narrow.url, "/add?x=1&y=2").body == "3"


@pytest.mark.parametrize("properties", [{"expiration": "soon"}, {"correlation_id": "x" * 300}])
def test_a_reply_that_cannot_be_sent_keeps_no_other_from_its_caller(narrow: Web, properties: dict[str, str]) -> None:
    async def conversation() -> list[Answer]:
        client = Client(narrow.url)
        odd = [client.call("misbehaving_tasks.send_a_reply", "", 1, properties) for _ in range(3)]
        return await asyncio.gather(*(client.call("add", number, 1) for number in range(20)), *odd)

    *answers, first, second, third = run(conversation())
    assert [answer.json["result"] for answer in answers] == list(range(1, 21))
    for odd in (first, second, third):
        assert "ReplyRefused" in odd.body
    assert get(narrow.url, "/add?x=1&y=2").body == "3"


def test_a_full_reply_queue_keeps_no_reply_from_another_queue(narrow: Web, strict: RabbitMQ) -> None:
    # Given replies to a queue that takes only one
    strict.ctl("set_policy", "full", "^full$", '{"max-length": 1, "overflow": "reject-publish"}')
    with kombu.Connection(strict.url) as connection:
        kombu.Queue("full", durable=True)(connection).declare()
    asked = {"args": ["full", 3, {}]}
    path = "/v1/tasks/misbehaving_tasks.send_a_reply"
    made = send(narrow.url, path, asked, Prefer="respond-async").json["id"]
    until(lambda: strict.queues()["full"]["messages"])

    # Then others come through, and these do when there is room
    for number in range(5):
        assert get(narrow.url, f"/add?x={number}&y=1").body == str(number + 1)
    assert get(narrow.url, f"/v1/runs/{made}").json["state"] != "SUCCESS"
    strict.ctl("clear_policy", "full")
    assert get(narrow.url, f"/v1/runs/{made}?wait=20").json["state"] == "SUCCESS"


def test_a_result_that_is_too_large_for_redis_fails_its_task_and_no_other(strict: RabbitMQ) -> None:
    async def conversation() -> list[Answer]:
        client = Client(web.url)
        return await asyncio.gather(*(client.call("misbehaving_tasks.big", size) for size in (10, 3_000_000, 20)))

    with need(partial(Redis, "--proto-max-bulk-len", "1048576")) as redis:
        variables = {"BROKER_URL": strict.url, "RESULT_BACKEND": redis.url, "TASK_QUEUE": "redis"}
        with Worker(**variables), Web(**variables) as web:
            small, large, other = run(conversation())
    assert [small.json["state"], other.json["state"]] == ["SUCCESS", "SUCCESS"]
    assert re.search(r"ReplyRefused: a result of 3000\d{3} bytes is refused", large.body)
