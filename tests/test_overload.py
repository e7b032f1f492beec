"""Too much work, on a real worker: what is accepted is answered in time, and it is as much as the worker can do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from client import Answer, Client, call, get, run, send, until_inside
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until

SLOTS, TASK, DEADLINE = 5, 0.1, 2.0

#: Requests a second: twice what the worker can do.
OFFERED = 2 * SLOTS / TASK


@pytest.fixture(scope="module")
def variables(rabbitmq: RabbitMQ) -> dict[str, str]:
    return {
        "BROKER_URL": rabbitmq.url,
        "TASK_QUEUE": "overload",
        "WORKER_CONCURRENCY": str(SLOTS),
        "RINGBACK_DEADLINE": str(DEADLINE),
    }


@pytest.fixture(scope="module")
def web(variables: dict[str, str]) -> Iterator[Web]:
    with Worker(**variables), Web(**variables) as process:
        yield process


async def offer(web: Web, kind: str, seconds: float) -> list[Answer]:
    """Send requests without waiting for their answers, each on a connection of its own."""
    client = Client(web.url)
    sent = []
    for _ in range(int(OFFERED * seconds)):
        if kind == "handler":
            sent.append(asyncio.create_task(client.fetch(f"/sleep?seconds={TASK}")))
        else:
            sent.append(asyncio.create_task(client.call("sleep", TASK)))
        await asyncio.sleep(1 / OFFERED)
    return await asyncio.gather(*sent)


@pytest.mark.parametrize("kind", ["handler", "/v1/tasks"])
def test_at_twice_the_capacity_what_is_accepted_is_answered(web: Web, kind: str) -> None:
    answers = run(offer(web, kind, seconds=5 * DEADLINE))

    later = answers[len(answers) // 3 :]
    found = Counter(answer.status for answer in later)
    assert found.keys() <= {200, 202, 503, 504}
    assert found[200] >= 0.4 * len(later)  # the worker can do half
    assert found[202] + found[504] <= 0.05 * found[200]
    refused = [answer for answer in later if answer.status == 503]
    assert {answer.json["type"] for answer in refused} == {"/problems/queue-too-long"}
    assert all(1 <= int(answer.headers["Retry-After"]) <= 2 * DEADLINE for answer in refused)


def test_a_client_that_does_not_wait_is_never_too_late(web: Web) -> None:
    async def conversation() -> set[int]:
        load = asyncio.create_task(offer(web, "handler", seconds=2 * DEADLINE))
        client = Client(web.url)
        statuses = set()
        while not load.done():
            statuses.add((await client.call("add", 1, 2, Prefer="respond-async")).status)
            await asyncio.sleep(0.05)
        assert 503 in {answer.status for answer in await load}
        return statuses

    assert run(conversation()) <= {200, 202}


def test_the_expected_wait_is_shown(web: Web) -> None:
    def shown() -> float:
        queues = get(web.url, "/v1/queues").json["queues"]
        return float(next(queue["expected_wait"] for queue in queues if queue["name"] == "overload"))

    async def conversation() -> list[float]:
        load = asyncio.create_task(offer(web, "handler", seconds=2 * DEADLINE))
        seen = []
        while not load.done():
            seen.append(await asyncio.to_thread(shown))
            await asyncio.sleep(0.1)
        await load
        return seen

    assert 1 < max(run(conversation())) < 2 * DEADLINE
    assert "ringback_queue_wait_seconds" in get(web.url, "/metrics").body
    until(lambda: shown() == 0)


def test_a_queue_without_workers_is_said_to_who_waits(variables: dict[str, str]) -> None:
    alone = {**variables, "TASK_QUEUE": "alone"}
    with Web(**alone, RINGBACK_NO_WORKER="1") as web:
        assert call(web.url, "echo", "queued", Prefer="respond-async").status == 202
        refused = until(lambda: call(web.url, "echo", "refused"), lambda answer: answer.status == 503)
        assert refused.json["type"] == "/problems/no-worker"
        assert "'alone'" in refused.json["detail"]
        assert get(web.url, "/add?x=1&y=2").json["type"] == "/problems/no-worker"
        queued = call(web.url, "echo", "queued, too", Prefer="respond-async")
        assert queued.status == 202
        later = send(web.url, "/v1/tasks/echo", {"args": ["a"], "options": {"countdown": 600}})
        assert later.status == 202  # what is delayed is not waited for

        with Worker(**alone):
            until(lambda: get(web.url, "/add?x=1&y=2").status == 200)
            assert get(web.url, f"/v1/runs/{queued.json['id']}?wait=10").json["result"] == "queued, too"


def test_what_no_client_waits_for_takes_no_place_from_those_that_wait(variables: dict[str, str]) -> None:
    many = {**variables, "TASK_QUEUE": "detached", "RINGBACK_HELD_LIMIT": "3", "RINGBACK_DETACHED_LIMIT": "5"}
    delayed = {"args": ["later"], "options": {"countdown": 4}}
    with Web(**many, RINGBACK_NO_WORKER="0") as web:
        # Given calls that go on for long: sent without waiting, given up by their client, ended with 202
        assert call(web.url, "echo", "a", Prefer="respond-async").status == 202
        assert call(web.url, "echo", "b", timeout=0.3).status == 599
        assert call(web.url, "echo", "c").status == 202
        assert call(web.url, "echo", "d", Prefer="wait=1").status == 202
        until(lambda: "ringback_detached_calls 4.0" in get(web.url, "/metrics").body)

        # What is delayed counts when it is due
        assert send(web.url, "/v1/tasks/echo", delayed, Prefer="respond-async").status == 202
        assert "ringback_delayed_calls 1.0" in get(web.url, "/metrics").body
        until(lambda: "ringback_detached_calls 5.0" in get(web.url, "/metrics").body)
        assert "ringback_delayed_calls 0.0" in get(web.url, "/metrics").body

        # Then more of them are refused, and calls that are waited for are not
        refused = call(web.url, "echo", "e", Prefer="respond-async")
        assert (refused.status, refused.json["type"]) == (503, "/problems/too-many-detached")
        assert get(web.url, "/readyz").status == 200
        with Worker(**many):
            assert get(web.url, "/add?x=1&y=2").body == "3"
            until(lambda: "ringback_detached_calls 0.0" in get(web.url, "/metrics").body)
            assert call(web.url, "echo", "f", Prefer="respond-async").status in (200, 202)


def test_a_process_that_holds_all_it_may_is_ready(variables: dict[str, str]) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        held = asyncio.create_task(client.fetch("/sleep?seconds=1"))
        await until_inside(client, lambda inside: inside["ledger"] == 1)
        assert (await client.call("echo", "a")).json["type"] == "/problems/too-many-held"
        assert (await client.fetch("/readyz")).status == 200
        await held

    one = {**variables, "TASK_QUEUE": "one", "RINGBACK_HELD_LIMIT": "1"}
    with Web(**one) as web, Worker(**one):
        run(conversation())
