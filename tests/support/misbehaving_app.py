"""``app.py`` with handlers that only the tests need: those that misbehave, and a look inside."""

import app as ringback_app  # first of all, since it patches

# ruff: isort: split
import asyncio
import gc
import os
from collections.abc import Callable

import gevent
import tornado.web
import tornado.websocket
from celery import chain, group

import examples.chat
import misbehaving_tasks
import ringback
import tasks
import watchman
from ringback.loop_queue import run_in_greenlet
from ringback.replies.drainer import ReplyDrainer
from ringback.runs.redis_store import RedisStore

ERRORS = {error.__name__: error for error in (ValueError, OSError, TimeoutError, gevent.GreenletExit)}


class RaiseInCallback(ringback.RequestHandler):
    @ringback.asynchronous
    def get(self, name: str) -> None:
        tasks.add.delay(1, 2).then(lambda call: self.on_result(ERRORS[name]))

    def on_result(self, error: type[BaseException]) -> None:
        raise error("of the callback")


class RaiseInMethod(ringback.RequestHandler):
    @ringback.asynchronous
    def get(self, name: str) -> None:
        raise ERRORS[name]("of the method")


class PlainTornado(tornado.web.RequestHandler):
    """Nothing of the package's own handler class."""

    deadline = 0.5

    @ringback.asynchronous
    def get(self, seconds: str) -> None:
        tasks.sleep.delay(float(seconds)).then(self.on_result)

    def on_result(self, call: ringback.Call) -> None:
        self.finish(str(call.result))


class PlainCoroutine(tornado.web.RequestHandler):
    """The same as a coroutine; and the errors that ``Application`` raises by itself."""

    async def get(self, seconds: str) -> None:
        self.write(str(await ringback.call(tasks.sleep.s(float(seconds)).set(expires=0.5))))


class Sleep(ringback.RequestHandler):
    """Any sleep, with any deadline, in both styles."""

    @ringback.asynchronous
    def get(self, seconds: str, deadline: str) -> None:
        self.deadline = float(deadline)
        tasks.sleep.delay(float(seconds)).then(lambda call: self.finish(str(call.result)))

    async def post(self, seconds: str, deadline: str) -> None:
        self.write(str(await ringback.call(tasks.sleep.s(float(seconds)).set(expires=float(deadline)))))


class Pause(ringback.RequestHandler):
    """Answers when a timer of the loop rings: a test sees whether another answer comes before it."""

    async def get(self, seconds: str) -> None:
        await asyncio.sleep(float(seconds))
        self.write(seconds)


class LateThen(ringback.RequestHandler):
    """Waits for the first call when the second has long been answered."""

    async def get(self) -> None:
        slow, fast = tasks.sleep.delay(0.5), tasks.add.delay(1, 2)
        self.write(str([await slow, await fast]))


class CatchError(ringback.RequestHandler):
    @ringback.asynchronous
    def get(self) -> None:
        misbehaving_tasks.fail_with_two.delay("a", "b").then(self.on_result, self.on_error)

    def on_result(self, call: ringback.Call) -> None:
        self.finish("no error")

    def on_error(self, error: BaseException) -> None:
        self.finish(f"caught {type(error).__name__}")


class Chain(ringback.RequestHandler):
    """Awaits the last task of a chain, which the worker sends on."""

    async def get(self, length: str) -> None:
        self.write(str(await ringback.call(chain(tasks.add.s(1, 2), *[tasks.add.s(10)] * (int(length) - 1)))))


class Group(ringback.RequestHandler):
    """Awaits all members of a group."""

    async def get(self) -> None:
        self.write(str(await ringback.call(group(tasks.add.s(number, number) for number in range(5)))))


class FireAndForget(ringback.RequestHandler):
    """Calls a task and does not wait for it."""

    def get(self) -> None:
        misbehaving_tasks.count_to.delay(self.get_query_argument("path"))


class CallMore(ringback.RequestHandler):
    """One of the tests' own tasks, its arguments from the query."""

    async def get(self, name: str) -> None:
        arguments = {argument: self.get_query_argument(argument) for argument in self.request.query_arguments}
        if "size" in arguments:
            arguments["size"] = int(arguments["size"])
        self.write(str(await ringback.call(getattr(misbehaving_tasks, name), **arguments)))


class FromGreenlets(ringback.RequestHandler):
    """Fifty greenlets call at once, none of them the loop's."""

    @ringback.asynchronous
    def get(self) -> None:
        self.results: dict[str, int] = {}
        for number in range(50):
            gevent.spawn(self.call, number)

    def call(self, number: int) -> None:
        tasks.add.delay(number, number).then(lambda call: self.on_result(number, call.result))

    def on_result(self, number: int, result: int) -> None:
        self.results[str(number)] = result
        if len(self.results) == 50:
            self.finish(self.results)


class GetOnGreenlets(ringback.RequestHandler):
    """Waits with Celery's own ``get`` and ``join_native``, which only greenlets beside the loop may do."""

    async def get(self) -> None:
        got = await gevent_result(lambda: tasks.add.delay(1, 2).get(timeout=20))
        joined = await gevent_result(lambda: group(tasks.add.s(n, n) for n in range(3)).apply_async().join_native(20))
        self.write(str([got, joined]))


async def gevent_result(function: Callable[[], object]) -> object:
    """Return what a function returns that waits on a greenlet."""
    return await run_in_greenlet(tasks.app.AsyncResult.switchboard._loop_queue, function)


@tornado.web.stream_request_body
class Upload(ringback.RequestHandler):
    """Counts what it gets, while it comes; before the end ``?early`` has it answer, and ``?call`` call a task."""

    received = 0

    def prepare(self) -> None:
        super().prepare()
        if self.get_query_argument("early", None) is not None:
            self.write("early")
            self.flush()
        if self.get_query_argument("call", None) is not None:
            self.call = ringback.call(tasks.sleep, 10)

    def data_received(self, chunk: bytes) -> None:
        self.received += len(chunk)

    def post(self) -> None:
        self.write(str(self.received))


class Echo(tornado.websocket.WebSocketHandler):
    """What a WebSocket sends comes back."""

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


class Inside(ringback.RequestHandler):
    """What the process keeps. The names of the package's own tables are here alone; if one changes, this fails."""

    def get(self) -> None:
        gc.unfreeze()  # or what was there at the start is not seen
        gc.collect()
        switchboard, backend = tasks.app.AsyncResult.switchboard, tasks.app.backend
        kept = {
            "ledger": switchboard.load.waiting,
            "outbox": switchboard.load.unsent,
            "in_flight": switchboard.load.unconfirmed,
            "drafts": len(switchboard._drafts._drafts),
            "known": len(tasks.app.AsyncResult.known),
            "templates": len(tasks.app.amqp._templates),
            "pending": sum(len(table) for table in backend._pending_results),
            "buffered": len(backend._pending_messages),
            "chatting": len(examples.chat.Chat.room.members),
            "held": ringback.web.handlers.HeldRequest.held() - 1,
            "backends": len([thing for thing in gc.get_objects() if isinstance(thing, type(backend))]),
            "drainers": len([thing for thing in gc.get_objects() if isinstance(thing, ReplyDrainer)]),
        }
        if switchboard.results_are_shared:
            replies = backend.result_consumer
            kept |= {"wanted": len(replies._wanted), "when_listening": len(replies._when_listening)}
        if switchboard.settings.redis_url:
            [store] = [component for component in switchboard._components if isinstance(component, RedisStore)]
            kept |= {"followed": len(store._followers), "unsaved": len(store._to_save)}
        self.write(kept)


class Held(ringback.RequestHandler):
    """Which process this is, and how many requests it holds."""

    def get(self) -> None:
        self.write({"pid": os.getpid(), "held": ringback.web.handlers.HeldRequest.held() - 1})


HANDLERS = [
    (r"/raise/(\w+)", RaiseInCallback),
    (r"/raise-in-method/(\w+)", RaiseInMethod),
    (r"/plain/([\d.]+)", PlainTornado),
    (r"/plain-coroutine/([\d.]+)", PlainCoroutine),
    (r"/sleep/([\d.]+)/([\d.]+)", Sleep),
    (r"/pause/([\d.]+)", Pause),
    (r"/late-then", LateThen),
    (r"/catch-error", CatchError),
    (r"/chain/(\d)", Chain),
    (r"/group", Group),
    (r"/fire-and-forget", FireAndForget),
    (r"/(big|fail_with_two|poison|poison_redis|count_to)", CallMore),
    (r"/greenlets", FromGreenlets),
    (r"/get-on-greenlets", GetOnGreenlets),
    (r"/upload", Upload),
    (r"/websocket", Echo),
    (r"/inside", Inside),
    (r"/held", Held),
    *ringback_app.HANDLERS,
]


if __name__ == "__main__":
    watchman.watch()
    ringback_app.main(HANDLERS)
