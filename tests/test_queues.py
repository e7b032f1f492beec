"""Queue lengths are reported, a flood is refused, and tasks with separate queues do not wait for others."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from client import Answer, call, get, statuses
from servers import RabbitMQ, need
from stack import ROOT, Web, Worker, environment
from waiting import until


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    """A broker whose queues no other test fills."""
    with need(RabbitMQ) as server:
        yield server


def depth(web: Web, queue: str = "celery") -> dict[str, float] | None:
    """A queue as ``/v1/queues`` reports it."""
    queues = get(web.url, "/v1/queues").json["queues"]
    return next((found for found in queues if found["name"] == queue), None)


def metric(web: Web, name: str, queue: str = "celery") -> float | None:
    found = re.search(rf'^{name}{{queue="{queue}"}} (\S+)$', get(web.url, "/metrics").body, re.MULTILINE)
    return float(found[1]) if found else None


def flood(web: Web, count: int) -> list[Answer]:
    return [call(web.url, "add", 1, number, Prefer="respond-async") for number in range(count)]


def test_a_flood_makes_the_metrics_rise_and_fall(broker: RabbitMQ) -> None:
    with Web(BROKER_URL=broker.url, TASK_QUEUE="flood") as web:
        assert statuses(flood(web, 50)) == {202}
        until(lambda: metric(web, "ringback_queue_messages", "flood") == 50)
        assert metric(web, "ringback_queue_consumers", "flood") == 0
        expected = {"name": "flood", "messages": 50, "consumers": 0, "kept_back": 0, "expected_wait": 0.0}
        assert depth(web, "flood") == expected

        with Worker(BROKER_URL=broker.url, TASK_QUEUE="flood"):
            until(lambda: metric(web, "ringback_queue_messages", "flood") == 0)
            assert metric(web, "ringback_queue_consumers", "flood") == 1


def test_a_call_for_a_queue_that_is_too_long_is_refused(broker: RabbitMQ) -> None:
    variables = {"BROKER_URL": broker.url, "TASK_QUEUE": "full", "RINGBACK_ROUTES": "echo:other"}
    with Web(**variables, RINGBACK_MAX_QUEUE="20") as web:
        assert statuses(flood(web, 20)) == {202}
        until(lambda: metric(web, "ringback_queue_messages", "full") == 20)

        refused = [get(web.url, "/add?x=1&y=2"), *flood(web, 5)]
        assert statuses(refused) == {503}
        assert {answer.json["type"] for answer in refused} == {"/problems/queue-too-long"}
        assert all(answer.headers["Retry-After"] == "5" for answer in refused)
        assert "RINGBACK_MAX_QUEUE" in refused[0].json["detail"]
        assert call(web.url, "echo", "another queue", Prefer="respond-async").status == 202
        assert broker.queues()["full"]["messages"] == 20

        with Worker(**variables):
            until(lambda: get(web.url, "/add?x=1&y=2").status == 200)


def test_without_a_broker_no_old_numbers_are_reported() -> None:
    with need(RabbitMQ) as broker, Web(BROKER_URL=broker.url) as web:
        flood(web, 3)
        until(lambda: metric(web, "ringback_queue_messages") == 3)

        broker.stop()
        until(lambda: get(web.url, "/v1/queues").status == 503)
        assert metric(web, "ringback_queue_messages") is None

        broker.start()
        until(lambda: metric(web, "ringback_queue_messages") == 3)


def test_a_slow_queue_full_of_work_does_not_delay_a_fast_one(broker: RabbitMQ) -> None:
    variables = {"BROKER_URL": broker.url, "TASK_QUEUE": "fast", "RINGBACK_ROUTES": "sleep:slow"}
    with (
        Web(**variables) as web,
        Worker(**variables, WORKER_QUEUES="slow", WORKER_CONCURRENCY="1"),
        Worker(**variables),
    ):
        slow = [call(web.url, "sleep", 60, Prefer="respond-async").json["id"] for _ in range(20)]
        assert {get(web.url, f"/add?x=1&y={number}").body for number in range(20)} == {
            str(number + 1) for number in range(20)
        }
        assert {get(web.url, f"/v1/runs/{run_id}").json["state"] for run_id in slow} == {"QUEUED"}
        # One runs, and one is prefetched.
        full = {"name": "slow", "messages": 18, "consumers": 1, "kept_back": 0, "expected_wait": 0.0}
        until(lambda: depth(web, "slow"), lambda found: found == full)


def test_the_manifests_scale_by_an_existing_metric(broker: RabbitMQ) -> None:
    manifests = [
        manifest for path in (ROOT / "deploy").glob("*.yaml") for manifest in yaml.safe_load_all(path.read_text())
    ]
    named = set(re.findall(r"ringback_\w+", str(manifests)))
    with Web(BROKER_URL=broker.url, TASK_QUEUE="scaled") as web:
        assert named
        assert named <= set(re.findall(r"^# TYPE (\S+)", get(web.url, "/metrics").body, re.MULTILINE))
    assert {manifest["kind"] for manifest in manifests} == {"ScaledObject", "HorizontalPodAutoscaler", "ConfigMap"}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_every_other_pool_works(broker: RabbitMQ, pool: str) -> None:
    variables = {"BROKER_URL": broker.url, "TASK_QUEUE": f"pool-{pool}"}
    with Web(**variables) as web, Worker(**variables, pool=pool, WORKER_CONCURRENCY="2"):
        assert [get(web.url, f"/add?x=1&y={number}").body for number in range(20)] == [str(n + 1) for n in range(20)]
        failed = get(web.url, "/error?msg=no")
        assert (failed.status, failed.json["exception"]) == (500, {"class": "Exception", "message": "no"})
        progress = call(web.url, "count", 2).json
        assert (progress["result"], progress["progress"]) == (2, {"counted": 2})


@pytest.mark.parametrize("task", ["add", "misbehaving_tasks.late"])
@pytest.mark.parametrize("pool", ["", "prefork"])
def test_a_worker_that_ends_has_acknowledged_what_it_has_run(broker: RabbitMQ, pool: str, task: str) -> None:
    queue = f"ending-{pool}-{task}"
    variables = {"BROKER_URL": broker.url, "TASK_QUEUE": queue}
    arguments = {"misbehaving_tasks.late": [1], "add": [1, 2]}[task]
    with Web(**variables) as web:
        with Worker(**variables, pool=pool, WORKER_CONCURRENCY="2") as worker:
            assert {call(web.url, task, *arguments).status for _ in range(20)} == {200}
            worker.terminate()
        assert broker.queues()[queue] == {"messages": 0, "consumers": 0}


def test_malformed_routes_stop_the_start_with_the_reason() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tasks"],
        cwd=ROOT,
        env=environment(RINGBACK_ROUTES="sleep"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "RINGBACK_ROUTES='sleep': expected task:queue, and more of them behind spaces\n",
    )
