"""The calls that wait for a result, and the one place where each is settled.

On the loop's greenlet, except where a method says otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import gevent
from celery import states

from ringback.calls.call import Call, Watch
from ringback.calls.ledger import Ledger
from ringback.calls.timeouts import LoopTimer, Timeouts
from ringback.errors import DeadlineExceeded, RingbackError, TaskExpired, TaskFailed, TaskRevoked
from ringback.loop_queue import LoopQueue
from ringback.traffic import Shares


class Waiting:
    """The futures of the calls that wait, each of which ends once: with a result, or with an error.

    :param held: how many may wait that a client waits for.
    :param detached: how many that no client waits for; as many more may be delayed.
    :param shows: what callers see of a failed task, as RINGBACK_ERRORS has it.
    """

    def __init__(self, held: int, detached: int, shows: str = "message") -> None:
        self._shows = shows
        self.held, self.detached, self.delayed = Shares(held), Shares(detached), Shares(detached)
        self._due: Timeouts[str] = Timeouts()  # of the calls that are delayed
        self.on_settled: Callable[[Call, RingbackError | None], object] = lambda call, error: None
        self._ledger: Ledger[Call] = Ledger()
        self._deadlines = LoopTimer(self._ledger.next_deadline, self._on_deadline)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> LoopQueue:
        """Take the running loop and greenlet for the ones that settle calls; returns the way onto the loop."""
        self._loop, self._greenlet = asyncio.get_running_loop(), gevent.getcurrent()
        self.loop_queue = LoopQueue(self._loop)
        return self.loop_queue

    def __len__(self) -> int:
        return len(self._ledger)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._ledger

    def get(self, call_id: str) -> Call | None:
        """The call of this id, if it waits."""
        return self._ledger.get(call_id)

    def on_loop(self, function: Callable[[], None]) -> None:
        """Any greenlet: have the loop call a function, in its next pass if this is the loop's greenlet."""
        if self._loop is None:
            function()
        elif gevent.getcurrent() is self._greenlet:
            self._loop.call_soon(function)
        else:
            self.loop_queue.post(function)

    def enter(self, call: Call, deadline: float) -> None:
        """Any greenlet: wait for a call, for so many seconds."""
        assert self._loop is not None, "calls are awaited once the switchboard has started"
        call.future = self._loop.create_future()
        self._ledger.enter(call.id, call, deadline)
        self._count(call, self.shares_for(call.watch))
        if call.has_ended:
            self.loop_queue.post(self.settle, call.id)
        if gevent.getcurrent() is self._greenlet:
            self._deadlines.arm()
        else:
            self.loop_queue.post(self._deadlines.arm)

    def detach(self, call_id: str) -> bool:
        """Note that no client waits for a call any more, and that it goes on; returns whether one did until now."""
        call = self._ledger.get(call_id)
        if call is None or call.watch is None or call.is_detached:
            return False
        call.watch.patience = None
        self._count(call, self.shares_for(call.watch))
        return True

    def shares_for(self, watch: Watch | None) -> Shares:
        """The shares in which a call is to be counted at the moment."""
        if watch is None or watch.patience is not None:
            return self.held
        return self.delayed if watch.due > time.monotonic() else self.detached

    def count_due(self) -> None:
        """Count the delayed calls whose time has come among those that are detached."""
        for call_id in self._due.overdue():
            call = self._ledger.get(call_id)
            if call is not None:
                self._count(call, self.detached)

    def _count(self, call: Call, shares: Shares | None) -> None:
        """Count a call among those of other shares than before."""
        if call.shares is not None:
            call.shares.give_back(call.tenant)
        if call.shares is self.delayed:
            self._due.stop(call.id)
        call.shares = shares
        if shares is not None:
            shares.take(call.tenant)
        if shares is self.delayed and call.watch is not None:
            self._due.start(call.id, call.watch.due - time.monotonic())

    def settle(self, call_id: str, error: RingbackError | None = None) -> None:
        """End the wait for a call, with the error or else with its reply. Only the first time has an effect."""
        call = self._ledger.settle(call_id)
        if call is None:
            return
        self._count(call, None)
        self.on_settled(call, error)
        if error is not None:  # Celery forgets only the calls that it sees fulfilled
            call.backend.remove_pending_result(call)
            call.known.pop(call_id, None)  # a call that is made once more with this id starts afresh
        future = call.future
        if future is None or future.done():  # the coroutine that awaited it was cancelled
            return
        if error is None and call.state == states.SUCCESS:
            future.set_result(call.result)
        else:
            future.set_exception(error or _failure(call, self._shows))
            future.exception()  # or asyncio complains when one of several calls has failed and the rest is not awaited

    def settle_all(self, why: Callable[[str], RingbackError]) -> None:
        """End the wait for every call, each with the error that ``why`` makes for its id."""
        for call_id in self._ledger.waiting():
            self.settle(call_id, why(call_id))

    def post(self, call_id: str, error: RingbackError | None = None) -> None:
        """Any greenlet: have the loop settle a call."""
        self.loop_queue.post(self.settle, call_id, error)

    def _on_deadline(self) -> None:
        for call_id in self._ledger.overdue():
            self.settle(call_id, DeadlineExceeded("no result within the deadline", call_id))


def _failure(call: Call, shows: str) -> RingbackError:
    if call.state != states.REVOKED:
        return TaskFailed(call.result, call.id, call.traceback, shows)
    # The reason is the message of Celery's TaskRevokedError: revoked, terminated or expired (celery/worker/request.py).
    if str(call.result) == "expired":
        return TaskExpired("no worker started the task before it expired", call.id)
    return TaskRevoked(call.result, call.id, call.traceback, shows)
