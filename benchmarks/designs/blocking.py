"""``get()`` in the handler: one request at a time in each process."""

import sys

from tornado.web import RequestHandler

from benchmarks.designs.service import publish, serve


class Blocking(RequestHandler):
    """Waits on the loop's thread."""

    def post(self) -> None:
        self.finish(publish(self.request.path, self.request.body).get())


if __name__ == "__main__":
    serve(Blocking, processes=int(sys.argv[1]))
