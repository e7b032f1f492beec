"""The web process knows its tasks only by name: their code runs elsewhere, on another Python and another Celery."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from client import call, get
from servers import RabbitMQ
from stack import ROOT, Process, Web

WEB = """
from gevent import monkey

monkey.patch_all()
import ringback
import tornado.web
from tasks import app


class QueryUsers(ringback.RequestHandler):
    @ringback.asynchronous
    def get(self, flag):
        app.send_task("task.query_users", args=[flag]).then(self.on_result)

    def on_result(self, call):
        self.finish({"users": call.result})


switchboard = ringback.install(app)
ringback.serve(tornado.web.Application([(r"/users/(.*)", QueryUsers)]), switchboard, port=0, address="127.0.0.1")
"""

WEB_TASKS = """
import os
from celery import Celery

app = Celery(broker=os.environ["BROKER_URL"], backend="rpc://")
app.conf.task_default_queue = os.environ["QUEUE"]
"""

WORKER_TASKS = """
import os
import platform
import celery

app = celery.Celery(broker=os.environ["BROKER_URL"], backend="rpc://")
app.conf.task_default_queue = os.environ["QUEUE"]
USERS = {"new": ["ann", "bob"], "old": []}


@app.task(name="task.query_users")
def query_users(flag):
    return USERS[flag]


@app.task(name="task.versions")
def versions():
    return [celery.__version__, platform.python_version()]
"""


def python38() -> str | None:
    """A Python 3.8, if there is one."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [*root.glob("versions/3.8.*/bin/python3.8"), shutil.which("python3.8")]
    runs = (python for python in found if python and subprocess.run([python, "-c", ""], check=False).returncode == 0)
    return next((str(python) for python in runs), None)


@pytest.fixture(scope="module")
def old_celery(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with Celery 4.4.7, the last release of 4, on Python 3.8."""
    python = python38()
    if python is None:
        pytest.skip("there is no Python 3.8 here")
    folder = tmp_path_factory.mktemp("old")
    subprocess.run([python, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "celery==4.4.7"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Celery 4.4.7 cannot be installed: {done.stderr[-200:]}")
    return str(folder / "bin" / "python")


@pytest.fixture(params=["this Celery", "Celery 4.4.7"])
def deployed(request: pytest.FixtureRequest, rabbitmq: RabbitMQ, tmp_path: Path) -> Iterator[Path]:
    """A worker in a folder of its own, and another folder for the web process."""
    python = sys.executable if request.param == "this Celery" else request.getfixturevalue("old_celery")
    queue = f"by-name-{uuid4()}"
    for folder, files in {
        "web": {"app.py": WEB, "tasks.py": WEB_TASKS},
        "worker": {"tasks.py": WORKER_TASKS},
    }.items():
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    (tmp_path / "web" / "queue").write_text(queue)
    command = [python, "-m", "celery", "-A", "tasks", "worker", "--pool=solo", "--loglevel=INFO"]
    variables = {"BROKER_URL": rabbitmq.url, "QUEUE": queue, "PYTHONPATH": ""}
    with Process(command, ready=r"ready\.", cwd=tmp_path / "worker", **variables):
        yield tmp_path / "web"


def test_a_handler_calls_by_name(deployed: Path, rabbitmq: RabbitMQ) -> None:
    variables = {"BROKER_URL": rabbitmq.url, "QUEUE": (deployed / "queue").read_text(), "PYTHONPATH": str(ROOT)}
    with Web(command=[sys.executable, "app.py"], cwd=deployed, **variables) as web:
        assert get(web.url, "/users/new").json == {"users": ["ann", "bob"]}
        assert get(web.url, "/users/old").json == {"users": []}
        failed = get(web.url, "/users/none")
        assert (failed.status, failed.json["exception"]["class"]) == (500, "KeyError")


def test_the_gateway_exposes_by_name(deployed: Path, rabbitmq: RabbitMQ) -> None:
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": (deployed / "queue").read_text()}
    command = [sys.executable, "-m", "ringback", "--port=0"]
    with Web(command=command, **variables, RINGBACK_TASKS="task.*") as web:
        assert call(web.url, "task.query_users", "new").json["result"] == ["ann", "bob"]
        celery, python = call(web.url, "task.versions").json["result"]
        assert call(web.url, "celery.backend_cleanup").status == 404
    print(f"answered by Celery {celery} on Python {python}")
