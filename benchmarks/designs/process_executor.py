"""``get()`` on a ``ProcessPoolExecutor``: 40 processes, since each takes 25 MB and two connections."""

from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from benchmarks.designs.service import publish, serve

POOL = ProcessPoolExecutor(40)


def relay(path: str, body: bytes) -> Any:
    """Call the task and wait, in a process of the pool."""
    return publish(path, body).get()


class Processes(RequestHandler):
    """Awaits the process on the loop."""

    async def post(self) -> None:
        self.finish(await IOLoop.current().run_in_executor(POOL, relay, self.request.path, self.request.body))


if __name__ == "__main__":
    POOL.submit(int).result()  # forks all processes before there is a loop or a connection
    serve(Processes)
