"""The tasks. The worker needs this file, ``celeryconfig.py``, and the package's ``ringback.worker``."""

import time
from datetime import datetime

from celery import Celery, Task
from celery.signals import celeryd_init

import celeryconfig
import ringback.worker

app = Celery("tasks", config_source=celeryconfig, include=["examples.tasks"])
ringback.worker.configure(app)


@celeryd_init.connect
def need_a_broker(**_: object) -> None:
    """Stop a separate worker on ``memory://``: that broker exists only inside the web process."""
    if app.conf.broker_url.startswith("memory:"):
        raise SystemExit("the worker needs a broker: set BROKER_URL, as in BROKER_URL=amqp://guest:guest@localhost//")


@app.task(name="add")
def add(x: int | str, y: int | str) -> int:
    """The sum of two whole numbers; strings of digits are accepted."""
    return int(x) + int(y)


@app.task(name="sleep")
def sleep(seconds: float) -> float:
    """Sleep that many seconds, 60 at most, and return the argument."""
    if not 0 <= float(seconds) <= 60:
        raise ValueError("from 0 to 60 seconds")
    time.sleep(float(seconds))
    return seconds


@app.task(name="count", bind=True, track_started=True)
def count(self: Task, to: int) -> int:
    """Count to a number, 600 at most, ten a second, and report each step."""
    if to > 600:
        raise ValueError("to 600 at most")
    for number in range(1, to + 1):
        time.sleep(0.1)
        self.update_state(state="PROGRESS", meta={"counted": number})
    return to


@app.task(name="echo")
def echo(msg: str, timestamp: bool = False) -> str:
    """The message, with the date and time in front if asked for."""
    return f"{datetime.now()}: {msg}" if timestamp else msg


@app.task(name="error")
def error(msg: str) -> None:
    """Fail with this message."""
    raise Exception(msg)


@app.task(name="test")
def test(body: str) -> str:
    """The relay's reply to a body: its third to fifth character."""
    return body[2:5]
