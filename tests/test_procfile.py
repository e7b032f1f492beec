"""The Procfile's commands start, and its worker is fast enough."""

from __future__ import annotations

import json
import os
import re
import time

from client import Client, call, get, run
from ringback.api import ROUTES
from servers import RabbitMQ, free_port
from stack import ROOT, Process, Web, Worker, procfile

#: Tasks a second, as a fraction of the requests a second without a task.
#: Measured 0.6; with the wrong flags or release it is 0.01.
LEAST = 0.05

#: The paths that the template answers: of the HTTP interface, and of its own handlers.
API_PATHS = [route.path.replace("{name}", "add").replace("{id}", "x") for route in ROUTES if route.path != "/"]
HANDLER_PATHS = [
    "/",
    "/async-sleep",
    "/gen-async-sleep",
    "/gen-async-sleep-add",
    "/add?x=1&y=2",
    "/sleep?seconds=0",
    "/echo?msg=1",
    "/error?msg=1",
    "/i_want_you_now",
    "/mysql_query/staff",
    "/gen_mysql_query/staff",
    "/resource/1",
    "/executor/resource/1",
    "/executor/resource",
    "/chat",
    "/docs",
]

#: What is for everybody on purpose. The pages show nothing by themselves.
FOR_EVERYBODY = {"/livez", "/readyz", "/docs", "/chat"}


def test_the_worker_line_runs_its_tasks_fast_enough(rabbitmq: RabbitMQ) -> None:
    async def rate(path: str, body: str) -> float:
        client = Client(web.url)
        await client.crowd([path] * 100)
        started = time.monotonic()
        for _ in range(5):
            answers = await client.crowd([path] * 200)
            assert all(answer.body == body for answer in answers)
        return 1000 / (time.monotonic() - started)

    queue = "speed"
    with Worker(BROKER_URL=rabbitmq.url, TASK_QUEUE=queue), Web(BROKER_URL=rabbitmq.url, TASK_QUEUE=queue) as web:
        tasks = max(run(rate("/add?x=1&y=2", "3")) for _ in range(3))
        plain = max(run(rate("/i_want_you_now", "i want you, right now!")) for _ in range(3))

    print(f"{tasks:.0f} tasks a second, and {plain:.0f} requests without one; everything is on this machine")
    assert tasks > LEAST * plain


def test_the_manifest_of_heroku_matches_the_procfile_and_the_documented_variables() -> None:
    manifest = json.loads((ROOT / "app.json").read_text())

    assert manifest["formation"].keys() == procfile().keys()
    documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "README.md").read_text()))
    assert manifest["env"].keys() <= documented


def test_honcho_starts_web_and_worker(rabbitmq: RabbitMQ) -> None:
    port = free_port()
    variables = {"BROKER_URL": rabbitmq.url, "PORT": str(port), "TASK_QUEUE": f"honcho-{os.getpid()}"}
    variables["RINGBACK_TOKENS"] = "me=0123456789abcdef:*"
    token, url = {"Authorization": "Bearer 0123456789abcdef"}, f"http://127.0.0.1:{port}"

    with Process(["honcho", "start"], ready="Ringback listens", **variables) as honcho:
        answer = get(url, "/add?x=1&y=2", headers=token)
        assert (answer.status, answer.body) == (200, "3")
        assert call(url, "add", 1, 2, **token).json["result"] == 3
        sources = (ROOT / "app.py").read_text() + (ROOT / "examples" / "__init__.py").read_text()
        for pattern in re.findall(r'\(r"([^"]+)", ', sources):
            assert any(re.fullmatch(pattern, path.partition("?")[0]) for path in HANDLER_PATHS), pattern
        for path in (*API_PATHS, *HANDLER_PATHS):
            for method in ("GET", "POST", "PUT", "DELETE"):
                body = b"{}" if method in ("POST", "PUT") else None
                status = get(url, path, method=method, body=body).status
                assert (status == 200) == (path in FOR_EVERYBODY and method == "GET"), (method, path, status)
                assert status in (200, 401, 405, 429), (method, path, status)
        honcho.terminate()
        assert "web.1 stopped (rc=0)" in honcho.output
        assert "worker.1 stopped (rc=0)" in honcho.output


def test_a_task_that_takes_too_long_frees_its_slot(rabbitmq: RabbitMQ) -> None:
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": f"limit-{os.getpid()}", "WORKER_CONCURRENCY": "1"}
    with Worker(**variables, TASK_TIME_LIMIT="1"), Web(**variables) as web:
        late = call(web.url, "sleep", 50)
        assert (late.status, late.json["exception"]["class"]) == (500, "TimeLimitExceeded")
        assert call(web.url, "add", 1, 2).json["result"] == 3


def test_the_examples_have_bounds(embedded: Web) -> None:
    for task, argument in (("sleep", 86_400), ("sleep", -1), ("count", 10_000)):
        assert call(embedded.url, task, argument).json["exception"]["class"] == "ValueError"
    assert get(embedded.url, "/sleep?seconds=86400").status == 500
