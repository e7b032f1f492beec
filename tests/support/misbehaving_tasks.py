"""Tasks that only the tests need: tasks that misbehave."""

import os
import pickle
import signal
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal, Union

import kombu
import pydantic
from amqp import Message
from celery import Task
from celery.exceptions import Ignore
from celery.signals import task_prerun

from ringback.worker.reply_link import Reply
from tasks import app
from waiting import until


@task_prerun.connect
def hesitate(task: Task, args: list[object], **_: object) -> None:
    """Moderation of the chat message "when <path>" ends when that file exists, or after 20 s."""
    if task.name == "moderate" and str(args[0]).startswith("when "):
        with suppress(AssertionError):
            until(Path(str(args[0]).split()[1]).exists, limit=20)


@app.task(acks_late=True)
def late(number: int) -> int:
    """A task that is acknowledged when it has ended."""
    return number


@app.task
def run_out_of_memory() -> None:
    """End the process as the kernel does when there is no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def big(size: int) -> str:
    return "x" * size


@app.task
def fail_with_two(first: str, second: str) -> None:
    raise ValueError(first, second)


@app.task(bind=True)
def poison(self: Task, kind: str) -> None:
    """Send a message that is no reply to the reply queue."""
    good = {"task_id": self.request.id, "status": "SUCCESS", "result": 1, "traceback": None, "children": []}
    bodies = {
        "content type": (pickle.dumps(good), "application/x-python-serialize"),
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
    """Store and publish a value that is no reply at the key of a reply in Redis."""
    key = app.backend.get_key_for_task(self.request.id)
    app.backend.client.set(key, b"no json", ex=60)
    app.backend.client.publish(key, b"no json")
    raise Ignore


@app.task
def count_to(path: str) -> None:
    """Append a line to a file, as proof that the task has run."""
    with open(path, "a") as file:
        file.write(f"{time.time()}\n")


@app.task
def give(value: object) -> object:
    """Return the argument."""
    return value


@app.task
def give_no_json(kind: Literal["object", "set", "nan"]) -> object:
    return {"object": object(), "set": {1, 2}, "nan": float("nan")}[kind]


@app.task
def give_a_time() -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5)


@app.task(bind=True, track_started=True)
def report(self: Task, steps: int, go_on: str = "") -> int:
    """Report every step; if a path is given, wait half-way until that file exists."""
    for step in range(steps):
        if step == steps // 2:
            until(lambda: not go_on or os.path.exists(go_on))
        self.update_state(state="PROGRESS", meta={"step": step})
    return steps


@app.task(bind=True)
def report_at_length(self: Task, steps: int, size: int) -> int:
    """Report every step, with a long text each."""
    for step in range(steps):
        self.update_state(state="PROGRESS", meta={"step": step, "words": "x" * size})
    return steps


@app.task(bind=True, max_retries=1, track_started=True)
def try_twice(self: Task) -> int:
    if not self.request.retries:
        raise self.retry(countdown=0.5)
    return self.request.retries


@app.task(ignore_result=True)
def keep_it_to_yourself() -> int:
    return 1


@app.task
def count_and_sleep(path: str, seconds: float) -> str:
    """Append a line to a file at the start, and another one at the end."""
    with open(path, "a") as file:
        file.write("begun\n")
    time.sleep(seconds)
    with open(path, "a") as file:
        file.write("ended\n")
    return "ended"


@app.task(bind=True)
def tell_headers(self: Task) -> dict[str, str | None]:
    """Return the trace headers that the task sees."""
    return {name: self.request.get(name) for name in ("traceparent", "tracestate", "x_request_id")}


@app.task(bind=True)
def tell_options(self: Task) -> dict[str, object]:
    """Return the caller's options that the task sees."""
    return {"eta": self.request.eta, "priority": self.request.delivery_info["priority"]}


@app.task
def answer_by_itself(answer: dict[str, object]) -> dict[str, object]:
    """Return a complete HTTP answer."""
    return answer


@app.task
def typed(number: int, word: str = "a", *more: float, when: datetime | None = None, **rest: bool) -> str:
    """A task with one parameter of each kind."""
    return f"{number} {word} {more} {when} {rest}"


class Leaf(pydantic.BaseModel):
    name: str
    weight: float = 1.0


class Branch(pydantic.BaseModel):
    """A model that holds itself, in a union with another."""

    name: str
    parts: list[Union["Branch", Leaf]] = []


@app.task
def take_numbers(value: list[int]) -> int:
    return len(value)


@app.task
def take_names(value: dict[str, int]) -> int:
    return len(value)


@app.task
def take_choices(value: list[int | float | bool | datetime | list[str] | dict[str, str]]) -> int:
    return len(value)


@app.task
def take_moments(value: list[datetime | tuple[int, int]]) -> int:
    return len(value)


@app.task
def take_leaves(value: list[Leaf]) -> int:
    return len(value)


@app.task
def take_a_tree(value: Branch) -> int:
    return len(value)  # type: ignore[arg-type]


@app.task
def reply(message: dict[str, str]) -> object:
    """Reply to a WeChat message as its text says: after some seconds, with this text, or with another kind."""
    content = message["Content"]
    if content.startswith("wait"):
        _, path, seconds = content.split()
        with open(path, "a") as file:
            file.write("begun\n")
        time.sleep(float(seconds))
    return {"picture": {"MsgType": "image", "Image": {"MediaId": "7"}}, "nothing": None}.get(content, f"<{content}>")


@app.task
def reply_raw(body: str) -> str:
    return f"<xml><Got>{len(body)}</Got></xml>"


@task_prerun.connect
def leave_a_record(args: list[object], **_: object) -> None:
    """Append the task's argument to the file that ``RECORD`` names, if it is set: the task has started."""
    if path := os.environ.get("RECORD"):
        with open(path, "a") as file:
            file.write(f"{args[0]}\n")


@app.task(acks_late=True)
def late_until(path: str) -> None:
    """End when this file exists; acknowledged only then."""
    until(Path(path).exists)


@app.task
def fail_at_length(size: int) -> None:
    raise ValueError("x" * size)


@app.task
def send_a_reply(queue: str, times: int, properties: dict[str, str]) -> int:
    """Send replies with these properties to a queue; returns how many."""
    for _ in range(times):
        app.backend._link_of_process().send(Reply(queue, Message(b"no reply", **properties)))
    return times


@app.task(bind=True)
def report_at_length_once(self: Task, size: int) -> int:
    self.update_state(state="PROGRESS", meta={"words": "x" * size})
    return size
