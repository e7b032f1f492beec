"""Who is held, and everything that rings them back: one switchboard for each Celery app in a process.

Its methods run on the loop's greenlet, except where they say otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from types import SimpleNamespace
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

import gevent
from celery import Celery, states
from gevent import monkey

from ringback.broker import link as broker
from ringback.broker.queue_depths import Queues
from ringback.calls.call import Call, Holder, current_holder
from ringback.calls.ledger import Ledger
from ringback.errors import (
    BadSetting,
    DeadlineExceeded,
    NoResult,
    RepliesUnavailable,
    RingbackError,
    ShuttingDown,
    TaskFailed,
    TaskRevoked,
    TooManyHeld,
    UnreadableReply,
)
from ringback.loop_queue import Component, LoopQueue
from ringback.publish.celery_amqp import OutboxAMQP
from ringback.publish.outbox import Outbox
from ringback.publish.publisher import Publisher
from ringback.replies.amqp import JSON, ReplyConsumer
from ringback.replies.redis import ChannelBackend
from ringback.settings import Settings, read

logger = logging.getLogger(__name__)

#: Our result backends, by the scheme of ``result_backend``.
BACKENDS = {
    "rpc": "ringback.replies.amqp:ReplyQueueBackend",
    "redis": "ringback.replies.redis:ChannelBackend",
    "rediss": "ringback.replies.redis:ChannelBackend",
}


class Switchboard:
    """All that one process needs to call the tasks of one Celery app and be rung back.

    :param app: the Celery app; its results must go to ``rpc://`` or ``redis://``.
    :raises BadSetting: gevent's patch is missing, the result backend cannot ring back, or there is no such broker.
    """

    def __init__(self, app: Celery, settings: Settings) -> None:
        if not monkey.is_module_patched("socket"):
            raise BadSetting("ringback needs gevent: put 'from gevent import monkey; monkey.patch_all()' first of all")
        self.app = app
        self.settings = settings
        self.ledger: Ledger[Call] = Ledger()
        self.outbox = Outbox(settings.outbox_limit)
        self.publisher = Publisher(app, self.outbox, self._on_unpublished, settings)
        self.queues = Queues(app, settings)
        self.components: list[Component] = [self.queues]  #: start and stop with it
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._take_seams()

    def start(self) -> None:
        """Start the publisher and the drainer. On the loop's greenlet, after any fork and before the port is opened.

        Waits until replies can come, at most for the publish time-out: a process whose broker is away starts all
        the same, and says 503 until it is back.
        """
        self._loop = asyncio.get_running_loop()
        self._greenlet = gevent.getcurrent()
        self.hop = LoopQueue(self._loop)
        self._consumer.drainer.start()
        self.publisher.start()
        for component in self.components:
            component.start(self.hop)
        if not self._consumer.ready.wait(self.settings.publish_timeout):
            logger.warning("started without the broker; requests get 503 until it is there")

    @property
    def results_are_shared(self) -> bool:
        """Whether any process can get the result of any task."""
        return isinstance(self.app.backend, ChannelBackend)

    def admit(self, call_id: str | None = None, queue: str | None = None) -> None:
        """Any greenlet: say no before a message is made.

        :param call_id: of the call, which may be waited for already.
        :param queue: where its message is to go.
        :raises Refused: this process is ending, the broker is away, results have no way back, too many are waited for,
            the queue is too long.
        """
        if self._stopped:
            raise ShuttingDown("this process is shutting down")
        self.publisher.check()
        if self._consumer.outage.exceeds(self.settings.publish_timeout):
            raise RepliesUnavailable("results cannot come back for now")
        overflow = self._overflow()
        if overflow is not None and (call_id is None or call_id not in self.ledger):
            raise overflow
        if queue is not None:
            self.queues.check(queue)

    def hold(self, call: Call) -> asyncio.Future[Any]:
        """Any greenlet: wait for a call; the future ends with its result, or with one of the package's errors.

        :raises NoResult: the task ignores its result.
        """
        if call.ignored:
            raise NoResult("the task ignores its result, so there is nothing to wait for", call.id)
        if call.future is None:
            holder = current_holder.get()
            self._enter(call, self._deadline(call, holder))
            if holder is not None:
                holder.made(call)
        assert call.future is not None
        return call.future

    async def expect(self, call_id: str, lifetime: float, on_update: Callable[[dict[str, Any]], object]) -> Call:
        """Wait for a call that no request holds, before it is made, so that nothing of its replies is missed.

        :param lifetime: seconds after which it is settled all the same; the message does not carry them.
        :param on_update: called with each reply before the last one.
        :returns: the call; its ``future`` ends as that of ``hold``.
        :raises RepliesUnavailable: results have no way back.
        """
        call: Call = self.app.AsyncResult(call_id)
        call.on_update = on_update
        overflow = self._overflow()
        self._enter(call, lifetime)
        if overflow is not None:
            self.settle(call_id, overflow)
            return call
        listening = asyncio.Event()
        if self._consumer.when_listening(call_id, lambda: self.hop.post(listening.set)):
            return call
        try:
            await asyncio.wait_for(listening.wait(), self.settings.publish_timeout)
        except asyncio.TimeoutError:
            self.settle(call_id, RepliesUnavailable("results cannot come back for now", call_id))
        return call

    def settle(self, call_id: str, error: RingbackError | None = None) -> None:
        """Ring back whoever waits for the call, with the error or else with its reply. Only the first time counts."""
        call = self.ledger.settle(call_id)
        if call is None:
            return
        if error is not None:  # Celery forgets only the calls that it sees fulfilled
            call.backend.remove_pending_result(call)
            call.known.pop(call_id, None)  # a call that is made once more with this id starts afresh
        future = call.future
        if future is None or future.done():  # whoever awaited it was cancelled
            return
        if error is None and call.state == states.SUCCESS:
            future.set_result(call.result)
        else:
            future.set_exception(error or _failure(call))
            future.exception()  # or asyncio complains when one of several calls has failed and the rest is not awaited

    def stop(self) -> None:
        """Take no more calls, settle those held with 503, publish what is in the outbox, end publisher and drainer."""
        self._stopped = True
        for call_id in self.ledger.held():
            self.settle(call_id, ShuttingDown("no result before this process had to end", call_id))
        self.publisher.stop()
        for component in self.components:
            component.stop()
        self._consumer.drainer.stop()

    def _take_seams(self) -> None:
        app = self.app
        url = str(app.conf.result_backend)  # loads the configuration, which would undo the next lines if it came later
        if url.partition(":")[0] not in BACKENDS:
            raise BadSetting(f"result backend {url!r} cannot ring back: use rpc:// or redis://")
        if app.conf.result_serializer != "json":
            raise BadSetting(f"result_serializer {app.conf.result_serializer!r}: only 'json' is read, never pickle")
        broker.check(app)
        # Celery looks this one up for each call: here it is found at once, among its defaults after three other places.
        app.conf.task_always_eager = app.conf.task_always_eager
        app.loader.override_backends = {**app.loader.override_backends, **BACKENDS}
        # Celery keeps the backend and the name of the reply queue per thread, which under gevent is per greenlet.
        app._local = SimpleNamespace(oid=f"ringback.reply.{uuid4()}")
        backend = app.backend
        backend.settings, backend.accept = self.settings, JSON
        backend.on_unreadable, backend.on_update = self._on_unreadable, self._on_update
        self._consumer: ReplyConsumer = backend.result_consumer
        app.AsyncResult = type("Call", (Call,), {"app": app, "switchboard": self, "known": WeakValueDictionary()})
        app.amqp = OutboxAMQP(app)
        app.amqp.outbox, app.amqp.admit = self.outbox, self.admit
        app.send_task = app.amqp.send_task

    def _deadline(self, call: Call, holder: Holder | None) -> float:
        """The seconds that its message expires after; makes it expire if it does not."""
        deadline = (holder and holder.deadline) or self.settings.deadline
        message = self.outbox.find(call.id)
        if message is None:
            return deadline
        if message.expires is None:
            message.expire_after(deadline)
        return message.expires or deadline

    def _enter(self, call: Call, deadline: float) -> None:
        call.future = self._loop.create_future()
        self.ledger.enter(call.id, call, deadline)
        if call.has_ended:
            self.on_reply(call)
        if gevent.getcurrent() is self._greenlet:
            self._arm()
        else:
            self.hop.post(self._arm)

    def _overflow(self) -> TooManyHeld | None:
        limit = self.settings.held_limit
        if len(self.ledger) < limit:
            return None
        return TooManyHeld(f"{limit} calls are waited for; RINGBACK_HELD_LIMIT sets the limit")

    def _arm(self) -> None:
        """Have the timer run at the next deadline, or before."""
        delay = self.ledger.next_deadline()
        if delay is None:
            return
        due = self._loop.time() + delay
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        # In a context of its own: that of the request whose call is the first would keep the request as long.
        self._timer = self._loop.call_at(due, self._on_deadline, context=Context())

    def _on_deadline(self) -> None:
        self._timer = None
        for call_id in self.ledger.overdue():
            self.settle(call_id, DeadlineExceeded("no result within the deadline", call_id))
        self._arm()

    # These four are called on the drainer's and the publisher's greenlets.

    def on_reply(self, call: Call) -> None:
        """A call that is waited for has its last reply."""
        self.hop.post(self.settle, call.id)

    def _on_update(self, call_id: str, meta: dict[str, Any]) -> None:
        call = self.app.AsyncResult.known.get(call_id)
        if call is not None and call.on_update is not None:
            self.hop.post(call.on_update, meta)

    def _on_unreadable(self, call_id: str, error: Exception) -> None:
        self.hop.post(self.settle, call_id, UnreadableReply(f"the worker's reply cannot be read: {error!r}", call_id))

    def _on_unpublished(self, call_id: str, error: RingbackError) -> None:
        logger.warning("not published: %s", error)
        self.hop.post(self.settle, call_id, error)


def _failure(call: Call) -> RingbackError:
    failed = TaskRevoked if call.state == states.REVOKED else TaskFailed
    return failed(call.result, call.id, call.traceback)


def install(app: Celery, options: Settings | None = None) -> Switchboard:
    """Make the calls of a Celery app's tasks ring back on the loop. Call it once, before any task is called.

    :param app: its results must go to ``rpc://`` or ``redis://``. Stock workers can answer.
    :param options: read from the environment if not given.
    :returns: the switchboard, to be started by ``serve`` or by its own ``start``.
    :raises BadSetting: a setting cannot be used, or gevent's patch is missing.
    """
    return Switchboard(app, options or read())
