"""A coroutine that sleeps between two calls of ``ready()``."""

import asyncio

from tornado.web import RequestHandler

from benchmarks.designs.polling import INTERVAL
from benchmarks.designs.service import publish, serve


class Coroutine(RequestHandler):
    """Awaits its result."""

    async def post(self) -> None:
        result = publish(self.request.path, self.request.body)
        while not result.ready():
            await asyncio.sleep(INTERVAL)
        self.finish(result.result)


if __name__ == "__main__":
    serve(Coroutine)
