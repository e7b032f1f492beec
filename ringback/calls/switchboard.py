"""The door to the core: it submits calls, and rings back what waits for them. One for each Celery app in a process.

Its methods run on the loop's greenlet, except where they say otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from celery import Celery
from celery.exceptions import TaskRevokedError
from gevent import monkey

from ringback.broker import Depth, QueueDepths, longest_delay
from ringback.calls.admission import Admission, Load
from ringback.calls.call import Call, Watch, current_holder, current_tenant
from ringback.calls.celery_app import QueueNames, check_app, graft_messages, graft_replies, graft_results
from ringback.calls.drafts import Drafts
from ringback.calls.lanes import Lanes
from ringback.calls.waiting import Waiting
from ringback.errors import (
    BadSetting,
    CallFailed,
    NoResult,
    RepliesUnavailable,
    RingbackError,
    ShuttingDown,
    TaskRevoked,
)
from ringback.loop_queue import Component, LoopQueue, run_in_greenlet
from ringback.publish import Outbox, Publisher
from ringback.settings import Settings

logger = logging.getLogger(__name__)


class Switchboard:
    """All that one process needs to call the tasks of one Celery app and be rung back.

    :param app: the Celery app; its results must go to ``rpc://`` or ``redis://``.
    :raises BadSetting: gevent's patch is missing, the result backend cannot ring back, the broker's address cannot be
        used, or a library is too new.
    """

    def __init__(self, app: Celery, settings: Settings) -> None:
        if not monkey.is_module_patched("socket"):
            raise BadSetting("ringback needs gevent: put 'from gevent import monkey; monkey.patch_all()' first of all")
        check_app(app)
        settings = replace(settings, max_delay=min(settings.max_delay, longest_delay(app)))
        self.app, self.settings = app, settings
        self._waiting = Waiting(settings.held_limit, settings.detached_limit, settings.errors)
        self._outbox = Outbox(settings.outbox_limit)
        self._publisher = Publisher(app, self._outbox, self._on_unpublished, settings)
        self._queue_names = QueueNames(app, settings.queues)
        self._queue_depths = QueueDepths(app, settings, self._queue_names)
        self._lanes = Lanes(self._outbox, self._waiting, self._queue_depths, settings)
        self._components: list[Component] = [self._queue_depths]
        self._loop_queue: LoopQueue | None = None
        self._calls = graft_results(app, self)
        self._consumer = graft_replies(app, settings, self._waiting.post, self._on_update)
        self._drafts = Drafts(self._outbox, self._calls.known, self._waiting, self._lanes, settings.deadline)
        self._admission = Admission(settings, self._waiting, self._publisher, self._consumer, self._queue_depths)
        self._amqp = graft_messages(app, self._admission.admit_message, self._drafts.accept)

    def start(self) -> None:
        """Start the publisher and the drainer, on the loop's greenlet, after any fork and before the port is opened.

        Waits until replies can come, at most for the publish time-out: a process whose broker is away starts all
        the same, and answers 503 until it is back.
        """
        self._loop_queue = self._waiting.start()
        self._consumer.drainer.start()
        self._publisher.start()
        for component in self._components:
            component.start(self._loop_queue)
        if not self._consumer.ready.wait(self.settings.publish_timeout):
            logger.warning("started without the broker; requests get 503 until it is there")

    def stop(self) -> None:
        """Take no more calls, settle those that wait with 503, publish the outbox, end publisher and drainer."""
        self._admission.close()
        self._drafts.complete()
        self._lanes.close()
        self._waiting.settle_all(lambda call_id: ShuttingDown("no result before this process had to end", call_id))
        self._publisher.stop()
        for component in self._components:
            component.stop()
        self._consumer.drainer.stop()

    def add(self, component: Component) -> None:
        """Have a component start and stop with the switchboard; if the switchboard runs, it starts now."""
        self._components.append(component)
        if self._loop_queue is not None:
            component.start(self._loop_queue)

    # The door: what runs and handlers may ask of the core.

    @property
    def results_are_shared(self) -> bool:
        """Whether any process can get the result of any task, as with Redis."""
        return bool(self.app.backend.results_are_shared)

    @property
    def load(self) -> Load:
        """How much there is to do at the moment."""
        waiting, outbox = self._waiting, self._outbox
        waiting.count_due()
        return Load(len(waiting), waiting.detached.total, waiting.delayed.total, len(outbox), outbox.in_flight)

    @property
    def queue_names(self) -> list[str]:
        """The queues that the app knows, and those that a caller may choose."""
        return self._queue_names()

    def depths(self) -> dict[str, Depth]:
        """The depths of the queues, as they were read last.

        :raises BrokerUnavailable: the broker cannot be asked at the moment.
        """
        return self._lanes.complete(self._queue_depths.all())

    def check(self) -> None:
        """Any greenlet: check that calls could be made now, and that results could come back; raises ``Refused``."""
        self._admission.check()

    def detach(self, call_id: str) -> None:
        """Note that no client waits for a call any more, and that it goes on."""
        if self._waiting.detach(call_id):
            self._lanes.on_client_gone(call_id)

    async def submit(
        self,
        watches: Sequence[Watch],
        lifetime: float,
        publish: Callable[[], object] | None,
        *,
        reports_expiry: bool = True,
        in_greenlet: bool = False,
    ) -> list[Call]:
        """Wait for calls, and then make them, so that none of their replies is missed.

        :param watches: the calls that ``publish`` makes, by their ids, and what to tell of each.
        :param lifetime: seconds after which each is settled all the same; the message does not carry them.
        :param publish: calls the tasks; ``None`` if another process has called them.
        :param reports_expiry: have a worker report a message that has expired, which the broker would drop silently.
        :param in_greenlet: run ``publish`` on a greenlet of its own, since it waits for a server.
        :returns: the calls; the ``future`` of each ends with its result or a ``RingbackError``.
        :raises RingbackError: the calls were not made, and do not wait any more.
        """
        self._admission.admit(watches[0].tenant, len(watches), watches[0])
        calls = [self._calls(watch.call_id) for watch in watches]
        for call, watch in zip(calls, watches, strict=True):
            call.watch, call.tenant, call.reports_expiry = watch, watch.tenant, reports_expiry
            self._waiting.enter(call, lifetime)
        try:
            await self._listen(calls)
            if publish is not None and any(call.is_waiting for call in calls):
                await self._publish(publish, in_greenlet)
        except RingbackError as error:
            for call in calls:
                self.withdraw(call.id)
                self.settle(call.id, error)
            raise
        return calls

    def cancel(self, call_id: str, terminate: bool = False) -> None:
        """Have a call dropped: at once if its message has not left, else as soon as a worker comes to it.

        :param terminate: stop the task even if it is running.
        """
        if self.withdraw(call_id):
            self.settle(call_id, TaskRevoked(TaskRevokedError("revoked"), call_id))
        elif not self._outbox.put_if_room(self._amqp.revoke_command(call_id, terminate)):
            logger.warning("the outbox is full, so task %s is not revoked", call_id)

    def withdraw(self, call_id: str) -> bool:
        """Take the message of a call back; returns false if it has left."""
        return self._drafts.withdraw(call_id)

    async def forget(self, call_ids: Sequence[str]) -> None:
        """Remove the stored results of calls, where results are stored; RepliesUnavailable if that cannot be done."""
        await run_in_greenlet(self._waiting.loop_queue, self.app.backend.forget_results, call_ids)

    # What a ``Call`` asks.

    def wait(self, call: Call) -> asyncio.Future[Any]:
        """Any greenlet: wait for a call; the future ends with its result, or with one of the package's errors.

        :raises RingbackError: the task ignores its result, or the result would come too late.
        """
        if call.ignored:
            raise NoResult("the task ignores its result, so there is nothing to wait for", call.id)
        if call.future is None:
            call.tenant = current_tenant()
            self._waiting.enter(call, self._drafts.expire(call))
            if (holder := current_holder.get()) is not None:
                holder.waits_for(call)
        assert call.future is not None
        return call.future

    def settle(self, call_id: str, error: RingbackError | None = None) -> None:
        """End the wait for a call, with the error or else with its reply. Only the first time has an effect."""
        self._waiting.settle(call_id, error)

    def on_reply(self, call: Call) -> None:
        """Any greenlet: a call that waits has its last reply."""
        self._waiting.post(call.id)

    async def _listen(self, calls: Sequence[Call]) -> None:
        """Wait until no reply of these calls can be missed."""
        pending = []
        for call in calls:
            listening = asyncio.Event()
            callback = partial(self._waiting.loop_queue.post, listening.set)
            if not self._consumer.when_listening(call.id, callback):
                pending.append(listening.wait())
        if not pending:
            return
        try:
            await asyncio.wait_for(asyncio.gather(*pending), self.settings.publish_timeout)
        except asyncio.TimeoutError as error:
            raise RepliesUnavailable("results cannot come back for now", calls[0].id) from error

    async def _publish(self, publish: Callable[[], object], in_greenlet: bool) -> None:
        try:
            if in_greenlet:
                await run_in_greenlet(self._waiting.loop_queue, publish)
            else:
                publish()
        except RingbackError:
            raise
        except Exception as error:  # of the application, such as its task router
            logger.exception("a call could not be made")
            raise CallFailed(f"the call could not be made: {type(error).__name__}: {error}") from error

    # On the way back: called on the drainer's and the publisher's greenlets.

    def _on_update(self, call_id: str, meta: dict[str, Any]) -> None:
        call = self._calls.known.get(call_id)
        if call is not None and call.watch is not None:
            self._waiting.loop_queue.post(call.watch.on_update, meta)

    def _on_unpublished(self, call_id: str, error: RingbackError) -> None:
        logger.warning("not published: %s", error)
        self._waiting.post(call_id, error)
