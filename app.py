"""Web handlers that hold a request until its Celery task rings back."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from tornado.options import define, options, parse_command_line  # noqa: E402
from tornado.web import Application  # noqa: E402

import ringback  # noqa: E402
import tasks  # noqa: E402
from ringback import RequestHandler, asynchronous  # noqa: E402


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
    """``POST /``: the body goes to a task as it is, and its reply comes back."""

    @asynchronous
    def post(self) -> None:
        tasks.test.delay(self.request.body.decode()).then(self.on_reply)

    def on_reply(self, call: ringback.Call) -> None:
        self.finish(call.result)


class Now(RequestHandler):
    """``GET /i_want_you_now``: no task, no wait, whatever the others are waiting for."""

    def get(self) -> None:
        self.write("i want you, right now!")


def make_app() -> Application:
    return Application(
        [
            (r"/", Relay),
            (r"/async-sleep", AsyncSleep),
            (r"/gen-async-sleep", GenAsyncSleep),
            (r"/gen-async-sleep-add", GenAsyncSleepAdd),
            (r"/(add|sleep|echo|error)", CallTask),
            (r"/i_want_you_now", Now),
        ],
        default_handler_class=ringback.NotFound,
    )


def main() -> None:
    settings = ringback.settings.read()
    define("port", ringback.settings.port(), type=int, help="TCP port to listen on")
    define("address", "127.0.0.1", help="IP address or host name to listen on; 0.0.0.0 for all")
    parse_command_line()
    switchboard = ringback.install(tasks.app, settings)
    if tasks.app.conf.broker_url.startswith("memory:"):
        ringback.embedded.start_worker(tasks.app)
    ringback.serve(make_app(), switchboard, options.port, options.address, "/async-sleep")


if __name__ == "__main__":
    try:
        main()
    except ringback.BadSetting as error:
        sys.exit(f"app.py: {error}")
