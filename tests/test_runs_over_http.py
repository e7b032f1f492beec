"""``/v1/runs/{id}``: runs are polled, started twice, followed, expired and forgotten."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from client import Answer, Client, call, events, get, nothing_left_behind, run, send, statuses
from servers import RabbitMQ
from stack import Web, Worker
from waiting import until_async

TASKS = "misbehaving_tasks"


@pytest.fixture(params=["web", "web_on_redis", "web_with_redis_broker"])
def url(request: pytest.FixtureRequest) -> str:
    server: Web = request.getfixturevalue(request.param)
    return server.url


def test_twenty_requests_with_one_key_are_one_run(url: str, tmp_path: Path) -> None:
    path = str(tmp_path / "count")

    async def conversation() -> list[Answer]:
        client = Client(url)
        answers = [client.call(f"{TASKS}.count_and_sleep", path, 0.5, Idempotency_Key="twenty") for _ in range(20)]
        return await asyncio.gather(*answers)

    answers = run(conversation())

    assert statuses(answers) == {200}
    assert len({answer.body for answer in answers}) == 1
    assert Path(path).read_text() == "begun\nended\n"
    late = call(url, f"{TASKS}.count_and_sleep", path, 0.5, Idempotency_Key='"twenty"')
    assert late.body == answers[0].body
    assert late.headers["Idempotent-Replayed"] == "true"


def test_a_key_that_is_used_for_something_else_is_refused(url: str) -> None:
    call(url, "add", 1, 2, Idempotency_Key="reused")

    other = call(url, "add", 1, 3, Idempotency_Key="reused")

    assert (other.status, other.json["type"]) == (422, "/problems/key-reused")
    assert call(url, "echo", "a", Idempotency_Key="reused").status == 200  # another task, another key


def test_a_failure_is_replayed_as_well(url: str) -> None:
    first, second = (call(url, "error", "once", Idempotency_Key="failed") for _ in range(2))

    assert first.status == second.status == 500
    assert first.body == second.body


def test_a_call_that_was_refused_may_be_repeated_with_its_key(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_RATE="0.5") as web:
        assert call(web.url, "add", 1, 2, Idempotency_Key="a").status == 200
        refused = call(web.url, "add", 1, 2, Idempotency_Key="b")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")

        async def again() -> None:
            client = Client(web.url)
            call = partial(client.call, "add", 1, 2, Idempotency_Key="b")
            answer = await until_async(call, lambda answer: answer.status != 429)
            assert answer.status == 200

        run(again())


def test_a_run_can_be_made_under_the_callers_own_id(url: str) -> None:
    run_id = f"order-{uuid4()}"
    document = {"task": "add", "args": [1, 2]}

    first, second = (send(url, f"/v1/runs/{run_id}", document, method="PUT") for _ in range(2))

    assert (first.status, first.json["id"], first.json["result"]) == (200, run_id, 3)
    assert second.body == first.body
    assert send(url, f"/v1/runs/{run_id}", {"task": "add", "args": [1, 3]}, method="PUT").status == 422
    assert get(url, f"/v1/runs/{run_id}").json == first.json


@pytest.mark.parametrize(("run_id", "document", "status"), [
    ("a%2Fb", {"task": "add", "args": [1, 2]}, 400),
    ("x" * 129, {"task": "add", "args": [1, 2]}, 400),
    ("no-task", {"args": [1, 2]}, 400),
    ("unknown-task", {"task": "nothing"}, 404),
    ("bad-arguments", {"task": "add"}, 422),
])  # fmt: skip
def test_a_run_that_cannot_be_made_is_refused(web: Web, run_id: str, document: object, status: int) -> None:
    assert send(web.url, f"/v1/runs/{run_id}", document, method="PUT").status == status


@pytest.mark.parametrize("path", ["", "?wait=1", "/events"])
def test_a_run_that_was_never_made_is_404(web: Web, path: str) -> None:
    answer = get(web.url, f"/v1/runs/{uuid4()}{path}")

    assert (answer.status, answer.json["type"]) == (404, "/problems/unknown-run")


@pytest.mark.parametrize("limit", [{"RINGBACK_KEEP": "0.5"}, {"RINGBACK_KEEP_BYTES": "600"}])
def test_a_run_that_is_kept_no_longer_is_410(rabbitmq: RabbitMQ, worker: Worker, limit: dict[str, str]) -> None:
    async def conversation() -> None:
        client = Client(web.url)
        first = (await client.call("add", 1, 2, Idempotency_Key="old")).json["links"]["self"]

        async def look() -> Answer:
            await client.call("add", 1, 2)
            return await client.fetch(first)

        answer = await until_async(look, lambda answer: answer.status != 200)
        assert (answer.status, answer.json["type"]) == (410, "/problems/forgotten-run")
        assert (await client.call("add", 1, 2, Idempotency_Key="old")).status == 410

    with Web(BROKER_URL=rabbitmq.url, **limit) as web:
        run(conversation())


@pytest.mark.parametrize("wait", ["soon", "-1", "1_0", "nan", "1e10"])
def test_a_malformed_time_to_wait_is_refused(web: Web, wait: str) -> None:
    run_id = call(web.url, "add", 1, 2).json["id"]

    assert get(web.url, f"/v1/runs/{run_id}?wait={wait}").status == 400


def test_the_stream_shows_every_step_in_order_and_then_the_result(url: str) -> None:
    async def conversation() -> None:
        client = Client(url)
        made = await client.call(f"{TASKS}.report", 10, Prefer="respond-async")
        stream = await client.fetch(made.json["links"]["events"])
        assert stream.headers["Content-Type"] == "text/event-stream"
        numbers, names, data = zip(*events(stream), strict=True)
        assert list(numbers) == sorted(numbers, key=int)
        assert list(names) == ["state"] * 3 + ["progress"] * 10 + ["result"]
        assert [document["state"] for document in data[:3]] == ["ACCEPTED", "QUEUED", "STARTED"]
        assert list(data[3:13]) == [{"step": step} for step in range(10)]
        assert (data[13]["state"], data[13]["result"]) == ("SUCCESS", 10)

        rest = await client.fetch(made.json["links"]["events"], headers={"Last-Event-ID": numbers[6]})
        assert events(rest) == events(stream)[7:]
        over = await client.fetch(made.json["links"]["events"], headers={"Last-Event-ID": numbers[-1]})
        assert over.status == 204

    run(conversation())


def test_a_resumed_stream_misses_nothing(url: str, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"

    async def conversation() -> None:
        client = Client(url)
        made = await client.call(f"{TASKS}.report", 10, str(go_on), Prefer="respond-async")
        seen = await follow_until(client, made, '{"step": 4}')
        poll = await client.fetch(made.json["links"]["self"])
        assert (poll.status, poll.json["state"], poll.json["progress"]) == (202, "PROGRESS", {"step": 4})
        go_on.touch()
        rest = await client.fetch(made.json["links"]["events"], headers={"Last-Event-ID": events(seen)[-1][0]})
        steps = [data for _, name, data in [*events(seen), *events(rest)] if name == "progress"]
        assert steps == [{"step": step} for step in range(10)]

    run(conversation())


async def follow_until(client: Client, made: Answer, text: str) -> Answer:
    """Read a stream until this text, then close the connection; return what was read."""
    received = ""
    enough = asyncio.Event()

    def take(chunk: bytes) -> None:
        nonlocal received
        received += chunk.decode()
        if text in received:
            enough.set()

    stream = asyncio.create_task(client.fetch(made.json["links"]["events"], streaming_callback=take, timeout=20))
    await asyncio.wait_for(enough.wait(), 20)
    stream.cancel()
    return Answer(200, received.rpartition("\n\n")[0], {}, 0, 0)


def test_a_task_that_retries_is_queued_again(url: str) -> None:
    made = call(url, f"{TASKS}.try_twice", Prefer="respond-async")

    stream = get(url, made.json["links"]["events"])

    states = [data["state"] for _, _, data in events(stream)]
    assert states == ["ACCEPTED", "QUEUED", "STARTED", "QUEUED", "STARTED", "SUCCESS"]


def test_a_task_that_expires_before_a_worker_comes_is_expired(url: str) -> None:
    answer = send(url, "/v1/tasks/add", {"args": [1, 2], "options": {"countdown": 2, "expires": 1}})

    assert answer.status == 504
    assert get(url, f"/v1/runs/{answer.json['id']}").json["state"] == "EXPIRED"


def test_a_run_belongs_to_its_caller(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_TOKENS="one two") as web:
        mine, other = ({"Authorization": f"Bearer {token}"} for token in ("one", "two"))
        run_id = call(web.url, "add", 1, 2, Idempotency_Key="same", **mine).json["id"]

        assert get(web.url, f"/v1/runs/{run_id}", headers=mine).status == 200
        assert get(web.url, f"/v1/runs/{run_id}", headers=other).status == 404
        assert call(web.url, "add", 1, 2, Idempotency_Key="same", **other).json["id"] != run_id
        own = send(web.url, f"/v1/runs/{run_id}", {"task": "add", "args": [5, 5]}, method="PUT", **other)
        assert (own.status, own.json["result"]) == (200, 10)
        assert get(web.url, f"/v1/runs/{run_id}", headers=mine).json["result"] == 3


def test_ended_runs_leave_nothing_behind(url: str) -> None:
    async def conversation() -> None:
        client = Client(url)
        ended = await asyncio.gather(
            client.call("add", 1, 2),
            client.call("error", "no"),
            client.call("sleep", 2, Cancel_After="0.5"),
            client.call("sleep", 1, timeout=0.3),
            client.call("add", 1, 2, Prefer="respond-async"),
        )
        assert [answer.status for answer in ended[:4]] == [200, 500, 504, 599]
        assert ended[4].status in (200, 202)  # it may have ended before its confirm came
        await nothing_left_behind(client)

    run(conversation())


def test_a_silent_stream_sends_signs_of_life(web: Web) -> None:
    made = call(web.url, "sleep", 11, Prefer="respond-async")

    stream = get(web.url, made.json["links"]["events"])

    assert "\n\n: still there\n\n" in stream.body
    assert events(stream)[-1][1] == "result"
