"""``WEB_CONCURRENCY``: web processes on one port are forked before anything exists that they must not share."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client import Answer, Client, get, run, statuses
from ringback.web.supervisor import RespawnBackoff
from servers import RabbitMQ, Redis
from stack import ROOT, Web, Worker, environment
from waiting import until, until_async

#: Every Python process imports this at its start; it reports before each fork what exists.
SITECUSTOMIZE = """
import os, sys

def tell():
    import threading
    from gevent._hub_local import get_hub_if_exists
    app = sys.modules["tasks"].app if "tasks" in sys.modules else None
    begun = app and (app.finalized or "amqp" in vars(app) or app._pool or app._backend_cache or vars(app._local))
    print("before the fork:", get_hub_if_exists(), threading.active_count(), begun or None)

os.register_at_fork(before=tell)
"""


@pytest.fixture
def pair(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    """A web process that has forked two others."""
    with Web(BROKER_URL=rabbitmq.url, WEB_CONCURRENCY="2") as web:
        until(lambda: len(run(held(Client(web.url)))) == 2)
        yield web


def pgrep(*which: str) -> set[int]:
    """The ids of the processes that ``pgrep`` finds."""
    found = subprocess.run(["pgrep", *which], capture_output=True, text=True, check=False)
    return {int(pid) for pid in found.stdout.split()}


def reply_queues(broker: RabbitMQ) -> int:
    """The number of reply queues with a consumer."""
    return sum(name.startswith("ringback.reply.") * queue["consumers"] for name, queue in broker.queues().items())


async def held(client: Client) -> dict[int, int]:
    """The number of requests that each answering process holds, by its id."""
    answers = [answer.json for answer in await client.crowd(["/held"] * 20) if answer.status == 200]
    return {process["pid"]: process["held"] for process in answers}


async def hold(client: Client, seconds: float) -> tuple[list[asyncio.Task[Answer]], dict[int, int]]:
    """Begin requests that are held for some seconds until each of two processes holds one or more.

    :returns: the requests, and how many of them each process holds.
    """
    answers: list[asyncio.Task[Answer]] = []

    async def look() -> dict[int, int]:
        counts = await held(client)
        if not answers or 0 in counts.values():
            answers.extend(asyncio.create_task(client.fetch(f"/sleep/{seconds}/25")) for _ in range(10))
        return counts

    def all_are_held(counts: dict[int, int]) -> bool:
        return len(counts) == 2 and all(counts.values()) and sum(counts.values()) == len(answers)

    return answers, await until_async(look, all_are_held)


def start(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command, "--port=0"],
        cwd=ROOT,
        env=environment(WEB_CONCURRENCY="2", **variables),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_each_process_answers_and_has_a_reply_queue_of_its_own(rabbitmq: RabbitMQ, pair: Web) -> None:
    async def conversation() -> None:
        answers = await client.crowd([f"/add?x={number}&y=1" for number in range(100)])
        assert [answer.body for answer in answers] == [str(number + 1) for number in range(100)]
        assert (await held(client)).keys() == pgrep("-P", str(pair.pid))

    client = Client(pair.url)
    run(conversation())
    assert pair.output.count("Ringback listens") == pair.output.count("each process knows its own runs only") == 1
    until(lambda: reply_queues(rabbitmq) == 2)  # queues of earlier processes may not be deleted yet


def test_a_killed_process_is_replaced_and_its_siblings_requests_are_answered(pair: Web) -> None:
    async def conversation() -> None:
        answers, counts = await hold(client, 2)
        killed = max(counts)
        os.kill(killed, signal.SIGKILL)
        meanwhile = await client.crowd(["/add?x=1&y=2"] * 40)
        assert statuses(meanwhile) == {200}
        ended = await asyncio.gather(*answers)
        lost = [answer for answer in ended if answer.status == 599]
        assert len(lost) == counts[killed]
        assert {answer.body for answer in ended if answer not in lost} == {"2.0"}
        now = await until_async(lambda: held(client), lambda counts: len(counts) == 2)
        assert now.keys() == pgrep("-P", str(pair.pid)) != counts.keys()

    client = Client(pair.url)
    run(conversation())
    assert pair.output.count("has ended by signal 9 and is replaced") == 1


def test_a_process_that_is_told_to_end_drains_and_is_replaced(pair: Web) -> None:
    async def conversation() -> None:
        answers, counts = await hold(client, 1)
        os.kill(min(counts), signal.SIGTERM)
        await asyncio.to_thread(pair.wait_for, f"shutting down: {counts[min(counts)]} requests held")
        assert statuses(await client.crowd(["/i_want_you_now"] * 20)) == {200}
        assert {(await answer).body for answer in answers} == {"1.0"}

    client = Client(pair.url)
    run(conversation())
    pair.wait_for("has ended with exit code 0 and is replaced")
    assert pair.terminate() == 0


@pytest.mark.parametrize("tell", [os.kill, os.killpg])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_drain_when_the_first_or_all_are_told_to_end(
    pair: Web, tell: Callable[[int, int], None], number: signal.Signals
) -> None:
    async def conversation() -> None:
        answers, counts = await hold(client, 1)
        tell(pair.pid, number)
        for count in counts.values():
            await asyncio.to_thread(pair.wait_for, f"shutting down: {count} requests held")
        assert (await client.fetch("/i_want_you_now")).status == 599  # refused
        assert {(await answer).body for answer in answers} == {"1.0"}

    client = Client(pair.url)
    run(conversation())
    assert pair.wait() == 0
    assert not pgrep("-g", str(pair.pid))
    assert "is replaced" not in pair.output
    assert "Traceback" not in pair.output


def test_without_their_parent_all_processes_drain_and_end(pair: Web) -> None:
    async def conversation() -> None:
        answers, _ = await hold(client, 1)
        await asyncio.to_thread(pair.end, signal.SIGKILL)
        assert {(await answer).body for answer in answers} == {"1.0"}

    client = Client(pair.url)
    run(conversation())
    until(lambda: not pgrep("-g", str(pair.pid)))


@pytest.mark.parametrize("command", [["app.py"], ["-m", "ringback", "--app=tasks"]])
def test_before_the_fork_there_is_no_hub_no_thread_and_nothing_of_celery(
    rabbitmq: RabbitMQ, worker: Worker, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    command = [sys.executable, *command, "--port=0"]

    with Web(command=command, BROKER_URL=rabbitmq.url, WEB_CONCURRENCY="2", PYTHONPATH=path) as web:
        until(lambda: len(pgrep("-P", str(web.pid))) == 2)
        os.kill(min(pgrep("-P", str(web.pid))), signal.SIGKILL)
        until(lambda: web.output.count("before the fork:") == 3)
        assert web.output.count("before the fork: None 1 None") == 3
        assert get(web.url, "/readyz").status == 200


def test_with_a_redis_each_process_knows_the_runs_of_all(rabbitmq: RabbitMQ, redis: Redis, worker: Worker) -> None:
    async def conversation() -> None:
        made = await client.call("add", 1, 2)
        polls = await client.crowd([made.json["links"]["self"]] * 20)
        assert {poll.body for poll in polls} == {made.body}

    variables = {"BROKER_URL": rabbitmq.url, "REDIS_URL": redis.url, "RESULT_BACKEND": "rpc://"}
    with Web(WEB_CONCURRENCY="2", **variables) as web:
        client = Client(web.url)
        until(lambda: len(run(held(Client(web.url)))) == 2)
        run(conversation())
        assert "its own runs only" not in web.output


def test_a_broker_in_memory_allows_one_process_which_says_so() -> None:
    with Web("app.py", WEB_CONCURRENCY="2") as web:
        assert get(web.url, "/add?x=1&y=2").body == "3"
        assert len(pgrep("-P", str(web.pid))) == 1
        web.wait_for("WEB_CONCURRENCY=2: .*set BROKER_URL")
        assert "its own runs only" not in web.output
        assert web.terminate() == 0


@pytest.mark.parametrize(
    ("command", "variables", "said"),
    [
        (["app.py"], {"RESULT_BACKEND": "cache+memory://"}, "cache+memory://"),
        (["app.py"], {"RINGBACK_GRACE": "-1"}, "RINGBACK_GRACE"),
        (["app.py", "--address=192.0.2.1"], {"RINGBACK_OPEN": "1"}, "cannot listen on 192.0.2.1"),
        (["-m", "ringback", "--app=nowhere"], {}, "--app=nowhere"),
    ],
)
def test_an_error_that_stops_every_process_is_reported_once(
    command: list[str], variables: dict[str, str], said: str
) -> None:
    done = start(*command, **variables)

    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if said in line]) == 1
    assert "Traceback" not in done.stderr


def test_a_first_process_that_is_killed_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "fatal.py").write_text("import os; os.kill(os.getpid(), 9)")

    done = start("-m", "ringback", "--app=fatal", PYTHONPATH=f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}")

    assert done.returncode == 128 + 9
    assert done.stderr.count("has ended by signal 9") == 1


def test_processes_that_go_on_dying_are_replaced_ever_more_slowly() -> None:
    now = 0.0
    backoff = RespawnBackoff(lambda: now)
    waits = []
    for _ in range(8):
        backoff.died(born=now - 1)
        waits.append(backoff.wait())
        now += waits[-1]
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]

    backoff.died(born=now - 60)
    assert backoff.wait() == 0
