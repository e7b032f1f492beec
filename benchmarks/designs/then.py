"""Celery's own ``AsyncResult.then`` under gevent, Ringback's first design."""

from gevent import monkey

monkey.patch_all()

from celery.result import AsyncResult
from tornado.web import RequestHandler

from benchmarks.designs.service import publish, serve


class Then(RequestHandler):
    """Answers on the drainer's greenlet."""

    def post(self) -> None:
        self._auto_finish = False
        publish(self.request.path, self.request.body).then(self.on_result)

    def on_result(self, result: AsyncResult) -> None:
        self.finish(result.result)


if __name__ == "__main__":
    serve(Then)
