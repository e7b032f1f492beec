"""Ringback with ``await``: ``app.py``, whose relay is a coroutine here. The ladder's task is among its tasks."""

import app  # patches before anything else is imported
import ringback
import tasks
from benchmarks.job import job

__all__ = ["job"]


class AwaitingRelay(ringback.RequestHandler):
    """``POST /``, as ``app.Relay``."""

    async def post(self) -> None:
        self.write(await ringback.call(tasks.test, self.request.body.decode()))


if __name__ == "__main__":
    app.main([(r"/", AwaitingRelay)])
