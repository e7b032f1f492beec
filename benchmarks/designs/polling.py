"""The IOLoop calls ``ready()`` repeatedly, and blocks for a round trip to the broker each time."""

from celery.result import AsyncResult
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from benchmarks.designs.service import publish, serve

INTERVAL = 0.05  # seconds; with 0.01 it answers about as many, with 0.1 fewer


class Polling(RequestHandler):
    """Polls for its result."""

    def post(self) -> None:
        self._auto_finish = False
        self.look(publish(self.request.path, self.request.body))

    def look(self, result: AsyncResult) -> None:
        """Answer, or poll again a little later."""
        if result.ready():
            self.finish(result.result)
        else:
            IOLoop.current().call_later(INTERVAL, self.look, result)


if __name__ == "__main__":
    serve(Polling)
