"""A worker with Celery's defaults, JSON, and the relay's task."""

import os

from celery import Celery

app = Celery("default", broker=os.environ["BROKER_URL"], backend="rpc://")


@app.task(name="test")
def test(body: str) -> str:
    """The same task as in ``tasks.py``."""
    return body[2:5]
