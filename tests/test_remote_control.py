"""Revoke commands reach the workers after every fault of their connections, and stop the tasks that they name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult, ResultSet

from client import call, get
from proxy import Proxy
from servers import RabbitMQ
from stack import Web, Worker, through_a_proxy
from waiting import until


class Caller:
    """A plain Celery client with a separate queue; it connects to the broker without the proxy."""

    def __init__(self, app: Celery) -> None:
        self.app, self.queue = app, f"control-{os.urandom(4).hex()}"

    def call(self, task: str, *args: object, **options: object) -> AsyncResult:
        return self.app.send_task(task, args, queue=self.queue, **options)

    def add(self) -> int:
        result: int = self.call("add", 1, 2).get(timeout=30)
        return result

    def revoke(self, *calls: AsyncResult, terminate: bool = False) -> None:
        self.app.control.revoke([call.id for call in calls], terminate=terminate)

    def revoked(self) -> list[set[str]]:
        """The ids that each worker of this queue has been told to revoke."""
        workers = self.app.control.inspect(timeout=0.5).active_queues() or {}
        ours = [name for name, queues in workers.items() if queues[0]["name"] == self.queue]
        answers = self.app.control.inspect(ours, timeout=0.5).revoked() or {} if ours else {}
        return [set(ids) for ids in answers.values()]


@pytest.fixture
def caller(rabbitmq: RabbitMQ) -> Iterator[Caller]:
    with Celery(broker=rabbitmq.url, backend="rpc://", set_as_current=False) as app:
        yield Caller(app)
        if app.backend.result_consumer._consumer:
            app.backend.result_consumer.stop()


def why_revoked(call: AsyncResult) -> str:
    with pytest.raises(TaskRevokedError) as revoked:
        call.get(timeout=30)
    return str(revoked.value)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [(Proxy.cut, 3), (Proxy.stall, 15), (Proxy.blackhole, 6)],
    ids=["cut-3", "stall-15", "blackhole-6"],
)
def test_revoke_commands_reach_a_worker_whose_connections_break(
    rabbitmq: RabbitMQ, caller: Caller, tmp_path: Path, fault: Callable[[Proxy], None], seconds: float
) -> None:
    with (
        through_a_proxy(rabbitmq) as (url, proxy),
        Worker(BROKER_URL=url, TASK_QUEUE=caller.queue) as worker,
    ):
        until(lambda: caller.revoked() == [set()])

        # Given a fault, and a revoke command that is sent meanwhile
        fault(proxy)
        early, path = str(uuid4()), tmp_path / "early"
        caller.revoke(AsyncResult(early, app=caller.app))
        time.sleep(seconds)
        proxy.restore()

        # Then tasks run again, and the command has not been lost
        assert caller.add() == 3
        until(lambda: caller.revoked() == [{early}], limit=60)
        assert why_revoked(caller.call("misbehaving_tasks.count_to", str(path), task_id=early)) == "revoked"
        assert not path.exists()

        # and a new command stops a task
        path = tmp_path / "late"
        running = caller.call("misbehaving_tasks.count_and_sleep", str(path), 60)
        until(path.exists)
        caller.revoke(running, terminate=True)
        assert why_revoked(running) == "terminated"
        assert path.read_text() == "begun\n"

        # and the worker shuts down
        assert worker.terminate() == 0


def test_a_task_is_revoked_wherever_it_is(rabbitmq: RabbitMQ, caller: Caller, tmp_path: Path) -> None:
    count = "misbehaving_tasks.count_to"
    with Worker(BROKER_URL=rabbitmq.url, TASK_QUEUE=caller.queue, WORKER_CONCURRENCY="1"):
        early = str(uuid4())
        caller.revoke(AsyncResult(early, app=caller.app))
        delayed = caller.call(count, str(tmp_path / "delayed"), countdown=2)
        until(lambda: caller.revoked() == [{early}])

        running = caller.call("misbehaving_tasks.count_and_sleep", str(tmp_path / "running"), 60)
        until((tmp_path / "running").exists)
        reserved, queued, unsent = (
            caller.call(count, str(tmp_path / name), task_id=call_id)
            for name, call_id in {"reserved": str(uuid4()), "queued": str(uuid4()), "unsent": early}.items()
        )
        caller.revoke(delayed, queued)
        caller.revoke(running, reserved, terminate=True)

        assert [why_revoked(call) for call in (running, delayed, queued, unsent)] == ["terminated", *["revoked"] * 3]
        assert why_revoked(reserved) in ("revoked", "terminated")
        assert caller.add() == 3
    assert [path.name for path in tmp_path.iterdir()] == ["running"]


def test_fifty_terminated_tasks_free_their_ten_slots(rabbitmq: RabbitMQ, caller: Caller) -> None:
    with Worker(BROKER_URL=rabbitmq.url, TASK_QUEUE=caller.queue, WORKER_CONCURRENCY="10"):
        assert caller.add() == 3
        calls = [caller.call("sleep", 60) for _ in range(50)]
        for call in calls:
            caller.revoke(call, terminate=True)

        ended = ResultSet(calls, app=caller.app).get(timeout=30, propagate=False)
        assert len(ended) == 50
        assert {str(error) for error in ended} <= {"terminated", "revoked"}
        assert [caller.call("add", 1, 2).get(timeout=30) for _ in range(20)] == [3] * 20
        until(lambda: rabbitmq.queues()[caller.queue]["messages"] == 0)  # neither ready nor unacknowledged


def twins(caller: Caller) -> Any:
    return caller.app.control.broadcast("ping", pattern="twin@*", matcher="glob", reply=True)


def test_workers_of_one_name_get_every_command(rabbitmq: RabbitMQ, caller: Caller) -> None:
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": caller.queue}
    with Worker("twin", **variables), Worker("twin", **variables):
        until(lambda: len(twins(caller)) == 2)
        for _ in range(4):
            assert len(twins(caller)) == 2
        assert [caller.add() for _ in range(20)] == [3] * 20


def test_the_embedded_worker_stops_a_cancelled_task(tmp_path: Path) -> None:
    path = tmp_path / "running"
    with Web(RINGBACK_TERMINATE="*") as web:
        run = call(web.url, "misbehaving_tasks.count_and_sleep", str(path), 60, Prefer="respond-async").json["id"]
        until(path.exists)
        get(web.url, f"/v1/runs/{run}?terminate=true", method="DELETE")

        assert get(web.url, f"/v1/runs/{run}?wait=10").json["state"] == "REVOKED"
        assert path.read_text() == "begun\n"
