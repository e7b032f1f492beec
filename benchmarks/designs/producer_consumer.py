"""The handler queues the job and answers at once with its number; threads run it; the client fetches the result."""

import asyncio
import itertools
import queue
import threading
from concurrent.futures import Future
from typing import Any

from tornado.web import RequestHandler

import tasks
from benchmarks.designs.service import publish, serve

tasks.app.conf.result_backend_thread_safe = False  # as in threads.py, and so is the next one
tasks.app.conf.broker_pool_limit = 100

numbers = itertools.count()
jobs: queue.SimpleQueue[tuple[str, bytes, Future[Any]]] = queue.SimpleQueue()
results: dict[str, Future[Any]] = {}


def consume() -> None:
    """Run one consumer on a thread."""
    while True:
        path, body, future = jobs.get()
        try:
            future.set_result(publish(path, body).get())
        except Exception as error:
            future.set_exception(error)


class ProducerConsumer(RequestHandler):
    """``POST`` submits a job, ``GET`` waits for its result."""

    def post(self) -> None:
        number = f"/{next(numbers)}"
        results[number] = Future()
        jobs.put((self.request.path, self.request.body, results[number]))
        self.set_status(202)
        self.set_header("Location", number)

    async def get(self) -> None:
        self.finish(await asyncio.wrap_future(results.pop(self.request.path)))


if __name__ == "__main__":
    for _ in range(100):
        threading.Thread(target=consume, daemon=True).start()
    serve(ProducerConsumer)
