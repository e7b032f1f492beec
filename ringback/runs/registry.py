"""The runs that were asked for over HTTP: made, found again, cancelled, forgotten. On the loop's greenlet.

A run outlives the request that made it. While it goes on it is in the switchboard's ledger as any call is; when it has
ended it is kept for polls and for repeated requests, for a time and as long as the memory for results lasts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from celery import states
from celery.exceptions import TaskRevokedError

from ringback.calls.call import Call
from ringback.calls.switchboard import Switchboard
from ringback.errors import (
    BadArguments,
    DeadlineExceeded,
    ForgottenRun,
    KeyReused,
    NoResult,
    OutboxFull,
    Refused,
    RingbackError,
    TaskRevoked,
    UnknownRun,
)
from ringback.runs.canvas import start
from ringback.runs.ending import end
from ringback.runs.retention import Retention
from ringback.runs.run import FAILURE, QUEUED, STARTED, Run
from ringback.runs.submission import Submission

logger = logging.getLogger(__name__)

#: So many forgotten runs are remembered, at about 200 bytes each.
REMEMBERED = 50_000


class Runs:
    """The runs of one process.

    :param switchboard: makes the calls, and has the settings.
    """

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings
        self._runs: dict[str, Run] = {}
        self._archive = Retention(self._settings.keep, self._settings.keep_bytes)
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self.counts: Counter[tuple[str, str]] = Counter()  #: of the runs that have ended, by task and state

    def __len__(self) -> int:
        return len(self._runs)

    async def make(self, order: Submission, client: object) -> tuple[Run, bool]:
        """The run of this order, and whether it was there before. ``client`` is from now on in its audience.

        :raises KeyReused: the order's key or id stands for another order.
        :raises ForgottenRun: it stands for a run that is kept no longer.
        :raises StoreUnavailable: it cannot be found out whether there is such a run already.
        """
        id = order.run_id
        known = await self._look_up(id) if order.may_be_repeated else None
        if known is None:
            run = self._runs[id] = Run(id, order.task, order.caller, order.fingerprint)
            run.audience.add(client)
            if await self._is_new(run, order):
                await self._publish(run, order)
            return run, False
        if (known.caller, known.fingerprint) != (order.caller, order.fingerprint):
            raise KeyReused("this idempotency key or id stands for another request", id)
        known.audience.add(client)
        return known, True

    async def find(self, caller: str, id: str, client: object) -> Run:
        """The run with this id. ``client`` is from now on in its audience.

        :raises ForgottenRun: it is kept no longer.
        :raises UnknownRun: there is none that this caller has made.
        :raises StoreUnavailable: another process may have made it, and cannot be asked.
        """
        run = await self._look_up(id)
        if run is None or run.caller != caller:
            raise UnknownRun("there is no run with this id", id)
        run.audience.add(client)
        return run

    def leave(self, run: Run, client: object) -> None:
        """This client is not in the run's audience any more."""
        run.audience.discard(client)

    def cancel(self, run: Run, terminate: bool = False) -> None:
        """Have a run dropped: at once if its message has not left, else as soon as a worker comes to it.

        :param terminate: have it stopped if it is running.
        """
        if run.closed:
            return
        for id in run.members or [run.id]:
            if self._switchboard.outbox.withdraw(id):
                self._switchboard.settle(id, TaskRevoked(TaskRevokedError("revoked"), id))
            else:
                self._revoke(id, terminate)

    def _revoke(self, id: str, terminate: bool = False) -> None:
        try:
            self._switchboard.app.amqp.revoke(id, terminate)
        except OutboxFull:
            logger.warning("the outbox is full, so task %s is not revoked", id)

    def abandon(self, run: Run) -> None:
        """A client that waited for this run has gone. If it was the last one, do as the setting says."""
        if not run.audience and not run.detached and self._policy(run) != "keep":
            self.cancel(run, terminate=self._policy(run) == "terminate")

    def _policy(self, run: Run) -> str:
        policies = self._settings.client_gone.items()
        return next((policy for pattern, policy in policies if fnmatchcase(run.task, pattern)), "keep")

    async def told(self, run: Run) -> None:
        """Wait until everybody who may be asked for this run knows of it; here there is nobody else."""

    async def _look_up(self, id: str) -> Run | None:
        self._forget_old()
        run = self._runs.get(id)
        if run is not None:
            return run
        if id in self._forgotten:
            raise ForgottenRun("this run is kept no longer", id)
        return None

    async def _is_new(self, run: Run, order: Submission) -> bool:
        """Whether the run is to be published by this process; here there is no other."""
        return True

    async def _expect(self, run: Run, lifetime: float) -> Call:
        call = await self._switchboard.expect(run.id, lifetime, partial(self._on_update, run))
        assert call.future is not None
        call.future.add_done_callback(partial(self._on_end, run))
        return call

    async def _publish(self, run: Run, order: Submission) -> None:
        if run.closed:
            return
        lifetime = order.cancel_after or self._settings.keep + order.delay
        if order.canvas is not None:
            outcome = await start(order.canvas, run, self._switchboard, lifetime)
            outcome.add_done_callback(partial(self._on_end, run))
            return
        call = await self._expect(run, lifetime)
        assert call.future is not None
        if call.future.done():
            return
        try:
            self._send(order, run.id)
        except RingbackError as error:
            self._switchboard.settle(run.id, error)
        except Exception as error:
            self._switchboard.settle(run.id, BadArguments(str(error), run.id))
        message = self._switchboard.outbox.find(run.id)
        if message is not None:
            if order.cancel_after is None:
                message.properties.pop("expiration", None)  # the broker would drop it and tell nobody; a worker tells
            message.on_confirmed = partial(self._switchboard.hop.post, self._on_queued, run, call)

    def _send(self, order: Submission, id: str) -> None:
        app = self._switchboard.app
        options = {**order.options, "task_id": id, "serializer": "json", "headers": order.headers or None}
        if order.cancel_after is not None:
            options.setdefault("expires", order.cancel_after)
        task = app.tasks.get(order.task)
        if task is not None:
            task.apply_async(order.args, order.kwargs, **options)
        else:
            app.send_task(order.task, order.args, order.kwargs, **options)

    def _on_queued(self, run: Run, call: Call) -> None:
        run.reach(QUEUED)
        if call.ignored:
            self._switchboard.settle(run.id, NoResult("the task ignores its result", run.id))

    def _on_update(self, run: Run, meta: Mapping[str, Any]) -> None:
        if meta["status"] == states.STARTED:
            run.reach(STARTED)
        elif meta["status"] == states.RETRY:
            run.requeue()
        elif meta["status"] != states.PENDING:
            self._report(run, meta.get("result"))

    def _report(self, run: Run, progress: Any) -> None:
        try:
            run.report(progress)
        except ValueError as error:
            logger.warning("the progress of task %s is not JSON: %s", run.id, error)

    def _on_end(self, run: Run, future: asyncio.Future[Any]) -> None:
        error = future.exception()
        if isinstance(error, Refused | BadArguments):
            self._refuse(run, error)
            return
        end(run, future, self._settings.tracebacks)
        self._keep(run)
        if isinstance(error, DeadlineExceeded):
            for id in run.members or [run.id]:
                self._revoke(id)

    def _keep(self, run: Run) -> None:
        self.counts[run.task, run.state] += 1
        self._archive.add(run.id, run.size)
        self._forget_old()

    def _forget_old(self) -> None:
        for id in self._archive.overdue():
            del self._runs[id]
            self._remember_forgotten(id)

    def _remember_forgotten(self, id: str) -> None:
        self._forgotten[id] = None
        while len(self._forgotten) > REMEMBERED:
            self._forgotten.popitem(last=False)

    def _refuse(self, run: Run, error: RingbackError) -> None:
        """The order may be repeated; whoever was told to come back for the run hears what became of it."""
        if run.detached:
            run.fail(FAILURE, error)
            self._keep(run)
            return
        del self._runs[run.id]
        run.on_change = None
        run.refuse(error)
