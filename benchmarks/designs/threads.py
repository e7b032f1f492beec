"""``get()`` on a ``ThreadPoolExecutor(100)``."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

import tasks
from benchmarks.designs.service import publish, serve

# A backend and a reply queue for each thread, which is Celery's default: threads cannot share an AMQP connection.
tasks.app.conf.result_backend_thread_safe = False
tasks.app.conf.broker_pool_limit = 100  # publishing connections; with fewer, threads would queue for them

POOL = ThreadPoolExecutor(100)


def relay(path: str, body: bytes) -> Any:
    """Call the task and wait, on a thread of the pool."""
    return publish(path, body).get()


class Threads(RequestHandler):
    """Awaits the thread on the loop."""

    async def post(self) -> None:
        self.finish(await IOLoop.current().run_in_executor(POOL, relay, self.request.path, self.request.body))


if __name__ == "__main__":
    serve(Threads)
