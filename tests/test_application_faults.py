"""A fault of the application, such as one in its task router, is logged and answered as what it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import call, get
from stack import ROOT, Web

PROJECT = """
from celery import Celery

app = Celery("proj", broker="memory://localhost/", backend="rpc://")


def route(name, args, kwargs, options, task=None, **more):
    return {"queue": "celery" if not args else {"x": "celery"}[args[0]]}


app.conf.task_routes = (route,)


@app.task
def echo(message=""):
    return message
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A project whose router knows one message only."""
    folder: Path = tmp_path_factory.mktemp("project")
    (folder / "proj.py").write_text(PROJECT)
    command = [sys.executable, "-m", "ringback", "--app=proj", "--port=0"]
    with Web(command=command, cwd=folder, PYTHONPATH=f"{folder}:{ROOT}") as web:
        yield web


def test_an_exception_of_the_router_is_logged_and_answered_500(served: Web) -> None:
    answer = call(served.url, "proj.echo", "unknown")

    assert (answer.status, answer.json["type"]) == (500, "/problems/call-failed")
    assert "KeyError" in answer.json["detail"]
    assert "Traceback" in served.output
    assert get(served.url, "/readyz").status == 200


def test_the_next_call_is_answered(served: Web) -> None:
    answer = call(served.url, "proj.echo", "x")

    assert (answer.status, answer.json["result"]) == (200, "x")
