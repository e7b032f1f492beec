"""``app.py`` with handlers that only the tests need: handlers that misbehave, and ``/inside``."""

import app as ringback_app  # before any other import, since it patches

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
import loop_meter
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
    """A handler that uses none of the package's handler classes."""

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
    """Sleeps any time under any deadline, with callbacks or as a coroutine."""

    @ringback.asynchronous
    def get(self, seconds: str, deadline: str) -> None:
        self.deadline = float(deadline)
        tasks.sleep.delay(float(seconds)).then(lambda call: self.finish(str(call.result)))

    async def post(self, seconds: str, deadline: str) -> None:
        self.write(str(await ringback.call(tasks.sleep.s(float(seconds)).set(expires=float(deadline)))))


class Pause(ringback.RequestHandler):
    """Answers when a timer of the loop fires, so that a test sees whether another answer comes earlier."""

    async def get(self, seconds: str) -> None:
        await asyncio.sleep(float(seconds))
        self.write(seconds)


class LateThen(ringback.RequestHandler):
    """Awaits a slow call first; the fast one has ended long before it is awaited."""

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
    """Awaits the last task of a chain, which the worker publishes."""

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
    """Calls one of the tests' own tasks with arguments from the query."""

    async def get(self, name: str) -> None:
        arguments = {argument: self.get_query_argument(argument) for argument in self.request.query_arguments}
        if "size" in arguments:
            arguments["size"] = int(arguments["size"])
        self.write(str(await ringback.call(getattr(misbehaving_tasks, name), **arguments)))


class FromGreenlets(ringback.RequestHandler):
    """Calls tasks from fifty greenlets at once; the loop's is not among them."""

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
    """Counts the bytes as they arrive; with ``?early`` it answers before the end, with ``?call`` it calls a task."""

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
    """Sends each WebSocket message back."""

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


class Inside(ringback.RequestHandler):
    """Reports what the process holds. Only this class names the package's tables; if one is renamed, it fails."""

    open_to_all = True

    def get(self) -> None:
        gc.unfreeze()  # so that the objects of the start are counted, too
        gc.collect()
        [gateway] = [thing for thing in gc.get_objects() if isinstance(thing, ringback.api.Gateway)]
        switchboard, backend = tasks.app.AsyncResult.switchboard, tasks.app.backend
        waiting = switchboard._waiting
        kept = {
            "ledger": switchboard.load.waiting,
            "outbox": switchboard.load.unsent,
            "in_flight": switchboard.load.unconfirmed,
            "drafts": len(switchboard._drafts._drafts),
            "known": len(tasks.app.AsyncResult.known),
            "kept_back": sum(len(lane.kept_back) for lane in switchboard._lanes._lanes.values()),
            "out": sum(lane.window.out for lane in switchboard._lanes._lanes.values()),
            "latest": len(switchboard._lanes._latest),
            "shares": sum(map(len, (waiting.held._taken, waiting.detached._taken, waiting.delayed._taken))),
            "due": len(waiting._due),
            "streams": len(gateway.streams._taken),
            "templates": len(tasks.app.amqp._templates),
            "pending": sum(len(table) for table in backend._pending_results),
            "buffered": len(backend._pending_messages),
            "chatting": len(examples.chat.Chat.room.members),
            "held": ringback.HeldRequest.held() - 1,
            "runs": len(gateway.runs),
            "sizes": len(gateway.runs._retention),
            "labels": len({task for task, _ in gateway.runs.ended.counts}),
            "buckets": len(gateway.rate) + len(gateway.other_rate),
            "failures": len(ringback.web.handlers._failures),
            "tickets": len(ringback.web.tickets_in(self.settings)),
            "descriptions": len(gateway.descriptions),
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
    """Reports the id of this process, and how many requests it holds."""

    def get(self) -> None:
        self.write({"pid": os.getpid(), "held": ringback.HeldRequest.held() - 1})


class LongestCallback(ringback.RequestHandler):
    """Reports the CPU time of the loop's longest callback since it was asked last, in milliseconds."""

    def get(self) -> None:
        self.write(str(loop_meter.longest()))


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
    (r"/longest-callback", LongestCallback),
    *ringback_app.HANDLERS,
]


if __name__ == "__main__":
    watchman.watch()
    loop_meter.measure()
    ringback_app.main(HANDLERS)
