"""Which caller may call which tasks: tokens, exposed tasks, origins, rates, public addresses."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import Answer, Client, call, get, run, send
from ringback.errors import TooManyCalls
from ringback.web import RateLimit
from servers import RabbitMQ
from stack import ROOT, Web, Worker, environment

ALLOWED_ORIGIN = "https://friend.example"


@pytest.fixture(scope="module")
def guarded(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    """A process that accepts two tokens, and exposes only some tasks."""
    with Web(
        BROKER_URL=rabbitmq.url,
        RINGBACK_TOKENS="all-of-them:* adder:add,misbehaving_tasks.*",
        RINGBACK_TASKS="add echo misbehaving_tasks.give celery.* elsewhere.*",
        RINGBACK_CORS=ALLOWED_ORIGIN,
    ) as process:
        yield process


def ask(web: Web, task: str, token: str | None, scheme: str = "Bearer") -> Answer:
    headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
    return call(web.url, task, 1, 2, **headers)


@pytest.mark.parametrize(
    ("task", "token", "status"),
    [
        ("add", None, 401),
        ("add", "wrong", 401),
        ("add", "", 401),
        ("add", "all-of-them", 200),
        ("add", "adder", 200),
        ("echo", "adder", 403),
        ("sleep", "all-of-them", 404),
        ("celery.backend_cleanup", "all-of-them", 404),
        ("nothing", "adder", 404),
    ],
)
def test_a_token_allows_its_tasks_and_no_others(guarded: Web, task: str, token: str | None, status: int) -> None:
    answer = ask(guarded, task, token)

    assert answer.status == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_of_another_scheme_is_refused(guarded: Web) -> None:
    assert ask(guarded, "add", "adder", scheme="Basic").status == 401


@pytest.mark.parametrize("path", ["/v1/tasks", "/", "/metrics", "/v1/runs/x", "/tasks/result/x/", "/async-sleep"])
def test_no_route_answers_without_a_token(guarded: Web, path: str) -> None:
    assert get(guarded.url, path).status == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs", "/docs/start.js"])
def test_probes_and_the_page_of_docs_need_no_token(guarded: Web, path: str) -> None:
    assert get(guarded.url, path).status == 200


def test_the_list_has_the_tasks_that_the_token_allows(guarded: Web) -> None:
    names = get(guarded.url, "/", headers={"Authorization": "Bearer adder"}).body

    assert names == "Tasks: add, misbehaving_tasks.give"


def test_a_page_of_an_allowed_origin_may_call_and_no_other(guarded: Web) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = get(guarded.url, "/v1/tasks/add", method="OPTIONS", headers={"Origin": ALLOWED_ORIGIN, **asked})
    friend = call(guarded.url, "add", 1, 2, Authorization="Bearer adder", Origin=ALLOWED_ORIGIN)
    refused = call(guarded.url, "echo", 1, Authorization="Bearer adder", Origin=ALLOWED_ORIGIN)
    stranger = get(guarded.url, "/v1/tasks/add", method="OPTIONS", headers={"Origin": "https://x.example", **asked})

    assert preflight.status == 204
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    for answer in (preflight, friend, refused):
        assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED_ORIGIN
    assert (friend.status, refused.status, stranger.status) == (200, 403, 403)
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_a_task_that_is_known_by_name_only_can_be_called(rabbitmq: RabbitMQ, worker: Worker) -> None:
    command = [sys.executable, "-m", "ringback", "--port=0"]
    variables = {"BROKER_URL": rabbitmq.url, "RINGBACK_TASKS": "add misbehaving_tasks.*"}
    with Web(command=command, **variables) as web:
        assert get(web.url, "/").body == "Tasks: add"
        assert get(web.url, "/v1/tasks/add").json == {"name": "add", "signature": None, "doc": "", "schema": None}
        assert call(web.url, "add", 1, 2).json["result"] == 3
        assert call(web.url, "misbehaving_tasks.give", [0]).json["result"] == [0]
        assert call(web.url, "sleep", 1).status == 404


def test_an_existing_project_is_served_without_code_of_its_own(rabbitmq: RabbitMQ, worker: Worker) -> None:
    command = [sys.executable, "-m", "ringback", "--app=misbehaving_tasks", "--port=0"]
    with Web(command=command, BROKER_URL=rabbitmq.url) as web:
        assert call(web.url, "add", 1, 2).json["result"] == 3
        assert call(web.url, "add", 1).status == 422
        assert get(web.url, "/async-sleep").status == 404


def test_without_a_broker_an_existing_project_runs_on_its_own() -> None:
    with Web(command=[sys.executable, "-m", "ringback", "--app=tasks", "--port=0"]) as web:
        assert call(web.url, "add", 1, 2).json["result"] == 3


@pytest.mark.parametrize(
    ("flags", "variables", "said"),
    [
        (["--app=tasks", "--address=0.0.0.0"], {}, "RINGBACK_TOKENS"),
        (["--app=nowhere"], {}, "nowhere"),
        (["--app=tasks:nothing"], {}, "nothing"),
        ([], {}, "--app"),
        (["--app=tasks"], {"RINGBACK_TOKENS": "with space:a b;c"}, "RINGBACK_TOKENS"),
        (["--app=tasks"], {"RINGBACK_CLIENT_GONE": "add:forget"}, "RINGBACK_CLIENT_GONE"),
        (["--app=tasks"], {"RINGBACK_OPEN": "maybe"}, "RINGBACK_OPEN"),
    ],
)
def test_a_start_that_cannot_succeed_says_what_to_set(flags: list[str], variables: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ringback", "--port=0", *flags],
        cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variables", [{"RINGBACK_TOKENS": "0123456789abcdef"}, {"RINGBACK_OPEN": "1"}])
def test_a_public_address_needs_tokens_or_the_open_setting(variables: dict[str, str]) -> None:
    with Web("app.py", flags=["--address=0.0.0.0"], **variables) as web:
        assert get(web.url.replace("0.0.0.0", "127.0.0.1"), "/livez").status == 200


def test_a_caller_may_save_up_the_calls_of_one_second() -> None:
    now = 0.0
    rate = RateLimit(2.0, TooManyCalls, clock=lambda: now)

    rate.spend("one")
    rate.spend("one")
    with pytest.raises(TooManyCalls):
        rate.spend("one")
    rate.spend("two")
    now = 0.5
    rate.spend("one")
    with pytest.raises(TooManyCalls):
        rate.spend("one")


def test_a_pickle_is_never_read(guarded: Web) -> None:
    body = pickle.dumps({"args": [1, 2]})
    headers = {"Authorization": "Bearer adder"}

    for path in ("/v1/tasks/add", "/apply/add/"):
        for kind in ("application/json", "application/x-python-serialize"):
            answer = get(guarded.url, path, method="POST", body=body, headers={**headers, "Content-Type": kind})
            assert answer.status in (400, 415)


PICKLING_PROJECT = """
import pickle
from celery import Celery
from misbehaving_tasks import *
from tasks import app
app.conf.accept_content = ["json", "pickle"]
"""


def test_a_pickle_is_not_read_from_a_worker_either(rabbitmq: RabbitMQ, worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "pickling.py").write_text(PICKLING_PROJECT)
    command = [sys.executable, "-m", "ringback", "--app=pickling", "--port=0"]
    path = f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"
    with Web(command=command, BROKER_URL=rabbitmq.url, PYTHONPATH=path) as web:
        answer = call(web.url, "misbehaving_tasks.poison", "content type")

    assert (answer.status, answer.json["type"]) == (502, "/problems/unreadable-reply")
    assert "ContentDisallowed" in answer.json["detail"]


def test_a_project_whose_results_are_pickles_stops_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "pickling.py").write_text(PICKLING_PROJECT + "app.conf.result_serializer = 'pickle'\n")
    path = f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "ringback", "--port=0", "--app=pickling"],
        cwd=ROOT, env=environment(PYTHONPATH=path), capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip

    assert (done.returncode, "result_serializer 'pickle'" in done.stderr) == (1, True)


def test_unexposed_tasks_cannot_be_reached_by_other_routes(guarded: Web) -> None:
    async def conversation() -> None:
        client = Client(guarded.url)
        token = {"Authorization": "Bearer all-of-them"}
        put = await client.send("/v1/runs/a", {"task": "sleep", "args": [1]}, method="PUT", **token)
        applied = await client.send("/apply/sleep/", {"args": [1]}, **token)
        later = await client.send("/apply-async/celery.backend_cleanup/", {}, **token)
        assert {put.status, applied.status, later.status} == {404}

    run(conversation())
    assert send(guarded.url, "/v1/runs/a", {"task": "add"}, method="PUT").status == 401
