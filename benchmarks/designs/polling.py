"""``ready()`` asked again and again by the IOLoop, which waits for a round trip to the broker each time."""

from celery.result import AsyncResult
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from benchmarks.designs.service import publish, serve

INTERVAL = 0.05  # seconds; with 0.01 it answers about as many, with 0.1 fewer


class Polling(RequestHandler):
    """Looks for its result until it is there."""

    def post(self) -> None:
        self._auto_finish = False
        self.look(publish(self.request.path, self.request.body))

    def look(self, result: AsyncResult) -> None:
        """Answer, or look again a little later."""
        if result.ready():
            self.finish(result.result)
        else:
            IOLoop.current().call_later(INTERVAL, self.look, result)


if __name__ == "__main__":
    serve(Polling)
