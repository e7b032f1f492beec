"""Bare Tornado, which calls nothing: the floor's share of HTTP."""

from tornado.web import RequestHandler

from benchmarks.designs.service import serve


class Hello(RequestHandler):
    """Answers the bytes that a task would return."""

    def post(self) -> None:
        self.finish("cde")


if __name__ == "__main__":
    serve(Hello)
