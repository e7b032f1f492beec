"""Web handlers that hold a request until its Celery task rings back."""

from gevent import monkey

monkey.patch_all()

from collections.abc import Sequence
from typing import Any

from tornado.web import HTTPError

import examples
import ringback.cli
import tasks
from ringback import RequestHandler, asynchronous


class AsyncSleep(RequestHandler):
    """``GET /async-sleep``: with callbacks."""

    @asynchronous
    def get(self) -> None:
        tasks.sleep.delay(3).then(self.on_result)

    def on_result(self, call: ringback.Call) -> None:
        self.write(str(call.result))
        self.finish()


class GenAsyncSleep(RequestHandler):
    """``GET /gen-async-sleep``: the same as a coroutine."""

    async def get(self) -> None:
        result = await ringback.call(tasks.sleep, 3)
        self.write(str(result))


class GenAsyncSleepAdd(RequestHandler):
    """``GET /gen-async-sleep-add``: two calls at once, so the answer takes as long as the slower one."""

    async def get(self) -> None:
        slept, added = ringback.call(tasks.sleep, 2), ringback.call(tasks.add, 1, 2)
        self.write(str([await slept, await added]))


class CallTask(RequestHandler):
    """``GET /add?x=1&y=2``: one of the tasks, with its arguments from the query."""

    async def get(self, name: str) -> None:
        arguments = {argument: self.get_query_argument(argument) for argument in self.request.query_arguments}
        self.write(str(await ringback.call(getattr(tasks, name), **arguments)))


class Relay(RequestHandler):
    """``POST /``: passes the body to a task unchanged, and answers with its reply."""

    @asynchronous
    def post(self) -> None:
        try:
            body = self.request.body.decode()
        except UnicodeDecodeError as error:
            raise HTTPError(400, reason="The body is not UTF-8") from error
        tasks.test.delay(body).then(self.on_reply)

    def on_reply(self, call: ringback.Call) -> None:
        self.finish(call.result)


class Now(RequestHandler):
    """``GET /i_want_you_now``: answers at once, without a task, while other requests are held."""

    def get(self) -> None:
        self.write("i want you, right now!")


HANDLERS = [
    (r"/", Relay),
    (r"/async-sleep", AsyncSleep),
    (r"/gen-async-sleep", GenAsyncSleep),
    (r"/gen-async-sleep-add", GenAsyncSleepAdd),
    (r"/(add|sleep|echo|error)", CallTask),
    (r"/i_want_you_now", Now),
    *examples.HANDLERS,
]


def main(handlers: Sequence[Any] = HANDLERS) -> None:
    """Serve these handlers and the HTTP interface, as flags and environment say."""
    ringback.cli.main(tasks.app, handlers, example="/async-sleep")


if __name__ == "__main__":
    main()
