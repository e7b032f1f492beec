"""A worker as Celery makes it: its defaults, JSON, and the task of the relay."""

import os

from celery import Celery

app = Celery("default", broker=os.environ["BROKER_URL"], backend="rpc://")


@app.task(name="test")
def test(body: str) -> str:
    """As in ``tasks.py``."""
    return body[2:5]
