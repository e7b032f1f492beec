"""FastAPI with ``get()`` in a sync endpoint, which runs on one of its threads."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse

import tasks

tasks.app.conf.result_backend_thread_safe = False  # as in threads.py
tasks.app.conf.broker_pool_limit = 40  # as many as FastAPI has threads

app = FastAPI()


async def body(request: Request) -> str:
    """The request's body as it is."""
    return (await request.body()).decode()


@app.post("/", response_class=PlainTextResponse)
def relay(body: Annotated[str, Depends(body)]) -> str:
    """Call the task and wait."""
    return tasks.test.delay(body).get()


@app.get("/sleep", response_class=PlainTextResponse)
def sleep(seconds: float) -> str:
    """Call a task that takes some time, and wait."""
    return str(tasks.sleep.delay(seconds).get())
