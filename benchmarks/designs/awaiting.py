"""Ringback with ``await``: ``app.py`` with a coroutine as relay, and with the ladder's task."""

import app  # patches before any other import
import ringback
import tasks
from benchmarks.job import job

__all__ = ["job"]


class AwaitingRelay(ringback.RequestHandler):
    """``POST /``, like ``app.Relay``."""

    async def post(self) -> None:
        self.write(await ringback.call(tasks.test, self.request.body.decode()))


if __name__ == "__main__":
    app.main([(r"/", AwaitingRelay)])
