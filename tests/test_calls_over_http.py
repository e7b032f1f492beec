"""``POST /v1/tasks/{name}``: a call and its answer."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from client import Client, answered_in_order, call, get, nothing_left_behind, run, send, statuses
from servers import RabbitMQ
from stack import Web, Worker

TASKS = "misbehaving_tasks"


@pytest.fixture(params=["web", "web_on_redis", "web_with_redis_broker", "embedded"])
def url(request: pytest.FixtureRequest) -> str:
    server: Web = request.getfixturevalue(request.param)
    return server.url


def test_a_call_is_answered_with_its_result(url: str) -> None:
    answer = call(url, "add", 1, 2)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json
    assert (document["task"], document["state"], document["result"]) == ("add", "SUCCESS", 3)
    assert re.fullmatch(r"[0-9a-f-]{36}", document["id"])
    assert list(document["timestamps"]) == ["accepted", "queued", "success"]


def test_keyword_arguments_are_accepted(url: str) -> None:
    assert send(url, "/v1/tasks/add", {"kwargs": {"x": 1, "y": 2}}).json["result"] == 3


def test_a_failed_task_is_a_problem_with_its_exception(url: str) -> None:
    answer = call(url, "error", "went wrong")

    assert answer.status == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["type"].endswith("/task-failed")
    assert problem["exception"] == {"class": "Exception", "message": "went wrong"}
    assert "Traceback" not in answer.body


def test_a_task_that_takes_longer_than_the_client_waits_goes_on(url: str) -> None:
    async def conversation() -> None:
        client = Client(url)
        longer, longest = (asyncio.create_task(client.call("sleep", seconds)) for seconds in (2, 4))
        _, first = await answered_in_order(client.call("sleep", 0.5), client.call("sleep", 3, Prefer="wait=1"))
        assert not longer.done()
        assert first.status == 202
        assert first.headers["Preference-Applied"] == "wait=1"
        assert int(first.headers["Retry-After"]) > 0
        assert first.json["state"] in ("ACCEPTED", "QUEUED")
        assert first.headers["Location"] == first.json["links"]["self"] == f"/v1/runs/{first.json['id']}"

        follower = asyncio.create_task(client.fetch(first.json["links"]["events"]))
        pollers = [client.fetch(first.headers["Location"] + "?wait=10") for _ in range(2)]
        answers = await asyncio.gather(*pollers)
        stream = await follower
        for answer in answers:
            assert (answer.status, answer.json["state"], answer.json["result"]) == (200, "SUCCESS", 3)
        assert not longest.done()
        assert statuses([await longer, await longest]) == {200}
        assert stream.body.endswith(f"event: result\ndata: {answers[0].body.strip()}\n\n")

    run(conversation())


def test_a_client_that_does_not_wait_gets_the_run_that_the_broker_has_confirmed(url: str) -> None:
    client = Client(url)
    answer, held = run(answered_in_order(client.call("sleep", 1, Prefer="respond-async"), client.call("sleep", 1)))

    assert (answer.status, held.status) == (202, 200)
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.json["state"] == "QUEUED"


def test_an_asynchronous_client_may_wait_a_little(url: str) -> None:
    assert call(url, "add", 1, 2, Prefer="respond-async, wait=5").status == 200


@pytest.mark.parametrize("value", [0, "", None, False, [], {}, "äöü\u2028", 1.5, [None, {"a": [0]}]])
def test_every_json_value_comes_back_as_it_is(web: Web, value: object) -> None:
    answer = call(web.url, f"{TASKS}.give", value)

    assert answer.status == 200
    assert answer.json["result"] == value
    assert type(answer.json["result"]) is type(value)


@pytest.mark.parametrize("kind", ["object", "set", "nan"])
def test_a_result_that_is_no_json_is_a_failure_with_the_reason(web: Web, kind: str) -> None:
    answer = call(web.url, f"{TASKS}.give_no_json", kind)

    assert answer.status in (500, 502)
    assert "JSON" in answer.json["detail"]


def test_a_time_comes_back_as_a_string(web: Web) -> None:
    assert call(web.url, f"{TASKS}.give_a_time").json["result"] == "2026-01-02T03:04:05"


def test_tracebacks_are_sent_only_if_the_setting_says_so(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_ERRORS="traceback") as web:
        assert "Traceback" in call(web.url, "error", "x").json["traceback"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "'number'"),
        ({"args": ["1"]}, "'number': Input should be a valid integer"),
        ({"args": [1.5]}, "'number'"),
        ({"args": [1, 2]}, "'word': Input should be a valid string"),
        ({"args": [1], "kwargs": {"number": 1}}, "multiple values for argument 'number'"),
        ({"args": [1, "a", 1.5, "b"]}, "'more'"),
        ({"args": [1], "kwargs": {"when": "yesterday"}}, "'when'"),
        ({"args": [1], "kwargs": {"other": "x"}}, "'rest'"),
    ],
)
def test_arguments_that_do_not_fit_are_named_with_the_reason(web: Web, document: object, said: str) -> None:
    answer = send(web.url, f"/v1/tasks/{TASKS}.typed", document)

    assert answer.status == 422
    assert answer.json["type"].endswith("/bad-arguments")
    assert said in answer.json["detail"]


def test_arguments_of_every_kind_reach_the_task(web: Web) -> None:
    document = {"args": [1, "b", 1, 2.5], "kwargs": {"when": "2026-01-01T00:00:00Z", "other": True}}

    assert send(web.url, f"/v1/tasks/{TASKS}.typed", document).json["result"] == (
        "1 b (1, 2.5) 2026-01-01T00:00:00Z {'other': True}"
    )


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ('{"args": {}}', "application/json", 400),
        ('{"args": [NaN]}', "application/json", 400),
        ('{"kwargs": []}', "application/json", 400),
        ('{"arguments": []}', "application/json", 400),
        ('{"options": {"routing_key": "x"}}', "application/json", 400),
        ('{"options": {"countdown": "soon"}}', "application/json", 400),
        ('{"options": {"queue": "nobody-knows-it"}, "args": [1, 2]}', "application/json", 422),
        ('{"args": [1, 2]}', "text/plain", 415),
        ('{"args": [1, 2]}', "application/x-www-form-urlencoded", 415),
        (b"\x80\x04]\x94.", "application/x-python-serialize", 415),
    ],
)
def test_a_body_of_the_wrong_kind_is_refused(web: Web, body: str, content_type: str, status: int) -> None:
    answer = get(web.url, "/v1/tasks/add", method="POST", body=body, headers={"Content-Type": content_type})

    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["detail"]


@pytest.mark.parametrize("name", ["nothing", "celery.backend_cleanup", "celery.chord", "tasks.add", "add%2F"])
def test_an_unknown_task_is_404(web: Web, name: str) -> None:
    assert call(web.url, name).status == 404


def test_the_tasks_are_listed_with_their_parameters(web: Web) -> None:
    tasks = {task["name"]: task for task in get(web.url, "/v1/tasks").json["tasks"]}

    assert not [name for name in tasks if name.startswith("celery.")]
    assert tasks["sleep"]["signature"] == "sleep(seconds: float) -> float"
    assert tasks["sleep"]["doc"].startswith("Sleep that many seconds")
    assert tasks["sleep"]["schema"]["properties"]["seconds"]["type"] == "number"
    assert get(web.url, "/v1/tasks/sleep").json == tasks["sleep"]


def test_options_of_the_call_reach_celery(web: Web) -> None:
    later = send(web.url, f"/v1/tasks/{TASKS}.tell_options", {"options": {"countdown": 1, "priority": 3}})
    at_once = send(web.url, f"/v1/tasks/{TASKS}.tell_options", {})

    assert (later.status, later.json["result"]["priority"]) == (200, 3)
    assert (later.json["result"]["eta"] is None, at_once.json["result"]["eta"]) == (False, None)


def test_the_trace_goes_with_the_task_and_comes_back(web: Web) -> None:
    trace = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "congo=t61rcWkgMzE",
        "X_Request_ID": "request-1",
    }
    answer = call(web.url, f"{TASKS}.tell_headers", **trace)

    sent = {name.lower(): value for name, value in trace.items()}
    assert answer.json["result"] == sent
    assert {name: answer.headers[name.replace("_", "-")] for name in sent} == sent
    failed = call(web.url, "nothing", **trace)
    assert failed.headers["X-Request-ID"] == "request-1"


def test_a_malformed_trace_is_left_out(web: Web) -> None:
    answer = call(web.url, f"{TASKS}.tell_headers", traceparent="00-zero-zero-01", X_Request_ID="x" * 1000)

    assert set(answer.json["result"].values()) == {None}
    assert "X-Request-ID" not in answer.headers


def test_a_run_that_is_cancelled_after_some_time_is_answered_with_504(web: Web, tmp_path: Path) -> None:
    client = Client(web.url)
    cancelled = client.call("sleep", 3, Cancel_After="1")
    _, answer, _ = run(answered_in_order(client.call("sleep", 0.5), cancelled, client.call("sleep", 2.5)))

    assert answer.status == 504
    state = get(web.url, f"/v1/runs/{answer.json['id']}").json
    assert state["state"] == "EXPIRED"


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf"])
def test_a_malformed_time_to_cancel_is_refused(web: Web, value: str) -> None:
    assert call(web.url, "add", 1, 2, Cancel_After=value).status == 400


def test_a_task_without_a_result_is_answered_once_it_is_queued(web: Web) -> None:
    client = Client(web.url)
    answer, _ = run(answered_in_order(client.call(f"{TASKS}.keep_it_to_yourself"), client.call("sleep", 2)))

    assert (answer.status, answer.json["state"]) == (202, "QUEUED")
    run(nothing_left_behind(Client(web.url)))


def test_a_task_can_set_its_own_http_answer(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_HTTP_ANSWERS=f"{TASKS}.answer_*") as web:
        task = f"{TASKS}.answer_by_itself"
        made = call(web.url, task, {"status": 201, "headers": {"X-Colour": "red"}, "body": "made"})
        document = call(web.url, task, {"body": {"a": 1}})
        wrong = call(web.url, task, {"status": "fine"})

    assert (made.status, made.headers["X-Colour"], made.body) == (201, "red", "made")
    assert (document.status, document.json) == (200, {"a": 1})
    assert wrong.status == 502


def test_without_a_broker_the_answer_is_503_and_the_process_keeps_nothing(rabbitmq: RabbitMQ) -> None:
    with Web(BROKER_URL="amqp://127.0.0.1:9//", RINGBACK_PUBLISH_TIMEOUT="0.5") as web:
        answer = call(web.url, "add", 1, 2)
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert get(web.url, "/livez").status == 200
        ready = get(web.url, "/readyz")
        assert (ready.status, ready.json["type"]) == (503, "/problems/broker-unavailable")
        run(nothing_left_behind(Client(web.url)))


def test_a_serving_process_reports_that_it_is_ready_and_its_metrics(web: Web) -> None:
    call(web.url, "add", 1, 2)

    assert get(web.url, "/livez").json == {"status": "alive"}
    assert get(web.url, "/readyz").json == {"status": "ready"}
    metrics = get(web.url, "/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain")
    assert re.search(r'^ringback_runs_ended_total\{state="SUCCESS",task="add"\} [1-9]', metrics.body, re.M)


def test_an_unknown_method_is_405_with_the_known_ones(web: Web) -> None:
    answer = get(web.url, "/v1/tasks/add", method="DELETE")

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, POST, OPTIONS"
    assert json.loads(answer.body)["status"] == 405
