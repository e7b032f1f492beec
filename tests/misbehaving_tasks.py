"""Tasks that only the tests need: the misfits."""

import time

import kombu
from celery import Task
from celery.exceptions import Ignore

from tasks import app


@app.task
def big(size: int) -> str:
    return "x" * size


@app.task
def fail_with_two(first: str, second: str) -> None:
    raise ValueError(first, second)


@app.task(bind=True)
def poison(self: Task, kind: str) -> None:
    """Reply with something that is not a reply."""
    good = {"task_id": self.request.id, "status": "SUCCESS", "result": 1, "traceback": None, "children": []}
    bodies = {
        "content type": (kombu.serialization.dumps(good, "json")[2], "application/x-python-serialize"),
        "broken json": ('{"status": "SUC', "application/json"),
        "no status": (f'{{"task_id": "{self.request.id}"}}', "application/json"),
        "failure with a string": (
            kombu.serialization.dumps({**good, "status": "FAILURE", "result": "a string"}, "json")[2],
            "application/json",
        ),
    }
    body, content_type = bodies[kind]
    with app.connection_for_write() as connection:
        connection.Producer().publish(
            body.encode() if isinstance(body, str) else body,
            content_type=content_type,
            content_encoding="utf-8",
            routing_key=self.request.reply_to,
            correlation_id=self.request.id,
        )
    raise Ignore


@app.task(bind=True)
def poison_redis(self: Task) -> None:
    """Publish something that is not a reply where Redis clients wait for one."""
    key = app.backend.get_key_for_task(self.request.id)
    app.backend.client.publish(key, b"no json")
    raise Ignore


@app.task
def count_to(path: str) -> None:
    """Leave a line in a file: somebody has really run this."""
    with open(path, "a") as file:
        file.write(f"{time.time()}\n")
