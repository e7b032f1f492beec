"""The runs that were submitted over HTTP: started, found again, cancelled, dropped. On the loop's greenlet.

A run outlives the request that started it. While it goes on it waits in the switchboard as any call does. When it has
ended it is kept for polls and for repeated requests, for a time and within a limit of memory.
"""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from celery.exceptions import TaskRevokedError

from ringback.calls import Switchboard
from ringback.errors import (
    BadArguments,
    CallFailed,
    DeadlineExceeded,
    ForgottenRun,
    KeyReused,
    Refused,
    RingbackError,
    ShuttingDown,
    TaskExpired,
    TaskRevoked,
    UnknownRun,
)
from ringback.runs.background import Background
from ringback.runs.ended_runs import EndedRuns
from ringback.runs.ending import end
from ringback.runs.peers import NoPeers, Peers
from ringback.runs.retention import Retention
from ringback.runs.run import Run, run_key
from ringback.runs.states import Event
from ringback.runs.submission import Submission
from ringback.runs.submitting import submit_call, submit_canvas


class RunRegistry:
    """The runs of one process.

    :param switchboard: makes the calls, and has the settings.
    """

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings
        self._runs: dict[str, Run] = {}  # by key
        self._retention = Retention(self._settings.keep, self._settings.keep_bytes)
        self.peers: Peers = NoPeers()  #: the processes that share their runs with this one
        self._background = Background("a run")
        self.ended = EndedRuns(lambda task: task in switchboard.app.tasks)

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, key: str) -> Run | None:
        """The run of this key, if this process knows it."""
        return self._runs.get(key)

    async def submit(self, submission: Submission, client: object) -> tuple[Run, bool]:
        """Start a run, or find the run that this submission repeats.

        :param client: waits for the run from now on.
        :returns: the run, and whether it was there before.
        :raises KeyReused: the submission's key or id belongs to another submission.
        :raises ForgottenRun: it belongs to a run that is no longer kept.
        :raises StoreUnavailable: whether there is such a run already cannot be found out.
        """
        known = await self._look_up(submission.caller, submission.run_id) if submission.may_be_repeated else None
        if known is not None:
            if known.fingerprint != submission.fingerprint:
                raise KeyReused("this idempotency key or id stands for another request", submission.run_id)
            known.clients.add(client)
            return known, True
        task, fingerprint = submission.call.task, submission.fingerprint
        run = Run(submission.run_id, submission.call_id, task, submission.caller, fingerprint)
        self.follow(run)
        run.clients.add(client)
        try:
            is_ours = await self.peers.claim(run, shared=submission.may_be_repeated)
        except RingbackError as error:
            self.refuse(run, error)
        else:
            if is_ours:
                await self._publish(run, submission)
        return run, False

    async def find(self, caller: str, run_id: str, client: object) -> Run:
        """Find the run of this id. ``client`` waits for it from now on.

        :raises ForgottenRun: it is no longer kept.
        :raises UnknownRun: this caller has started no run of this id.
        :raises StoreUnavailable: another process may have started it, and cannot be asked.
        """
        run = await self._look_up(caller, run_id)
        if run is None:
            raise UnknownRun("there is no run with this id", run_id)
        run.clients.add(client)
        return run

    def leave(self, run: Run, client: object) -> None:
        """Note that this client does not wait for the run any more."""
        run.clients.discard(client)
        if not run.clients and not run.has_ended:
            for call_id in run.calls:
                self._switchboard.detach(call_id)
        if not run.owned and not run.clients:
            self.peers.unfollow(run)
            self._forget(run)

    def on_client_gone(self, run: Run) -> None:
        """Apply RINGBACK_CLIENT_GONE after a client that waited for this run has gone, if it was the last one."""
        policy = self._policy(run)
        if run.owned and not run.has_ended and policy != "keep":
            self.peers.when_unwanted(run, partial(self.cancel, run, terminate=policy == "terminate"))

    def cancel(self, run: Run, terminate: bool = False) -> None:
        """Have a run dropped: at once if its message has not left, else as soon as a worker comes to it.

        :param terminate: stop it even if it is running.
        """
        if not run.has_ended:
            for call_id in run.calls:
                self._switchboard.cancel(call_id, terminate)

    async def replicated(self, run: Run) -> None:
        """Wait until every process that a client may ask knows this run."""
        await self.peers.replicated(run)

    async def erase(self, run: Run) -> None:
        """Take away what is known of a run, in every process and in the result backend.

        If its task goes on, its result is removed when it comes.

        :raises StoreUnavailable: another process cannot be told.
        :raises RepliesUnavailable: the stored results cannot be removed.
        """
        await self.peers.erase(run)
        self.on_erased(run)
        await self._switchboard.forget(run.calls)

    # What peers ask as well.

    def on_erased(self, run: Run) -> None:
        """Forget a run that its caller has erased."""
        if run.erased:
            return
        self._forget(run)
        run.erased = True
        self.peers.on_dropped(run.key)
        run.fail(Event.REVOKED, TaskRevoked(TaskRevokedError("erased"), run.call_id))

    def follow(self, run: Run) -> None:
        """Add a run to those that this process knows."""
        self._runs[run.key], run.on_growth = run, self._retention.resize

    async def take_over(self, run: Run) -> None:
        """Wait for the result of a run that another process has published."""
        await self._watch(run, submit_call(run, self._switchboard, self._settings.keep))

    def end(self, run: Run, future: asyncio.Future[Any]) -> None:
        """End a run as its call has ended."""
        error = future.exception()
        if run.erased:
            self._background.start(self._switchboard.forget(run.calls))
            return
        if isinstance(error, Refused | BadArguments | CallFailed):
            self.refuse(run, error)
            return
        end(run, future, self._settings.result_limit)
        self.keep(run, error)
        if isinstance(error, DeadlineExceeded) and not isinstance(error, TaskExpired):
            for call_id in run.calls:
                self._switchboard.cancel(call_id)

    def refuse(self, run: Run, error: RingbackError) -> None:
        """End a run that was not made after all. It may be submitted again, unless a client was told to come back."""
        if error.call_id == run.call_id:
            error.call_id = run.run_id
        if isinstance(error, ShuttingDown) and self.peers.take_over:
            run.release(error)
        elif run.detached:
            run.refuse(error)
            self.keep(run)
        else:
            self._forget(run)
            run.refuse(error)
            self.peers.forget(run)

    def keep(self, run: Run, error: BaseException | None = None) -> None:
        """Keep a run that has ended, and drop those whose time is over.

        :param error: what its call has ended with, if not with a result.
        """
        self.ended.add(run, error)
        run.on_growth = None
        self._retention.add(run.key, run.size)
        self._drop_old()

    async def _look_up(self, caller: str, run_id: str) -> Run | None:
        self._drop_old()
        key = run_key(caller, run_id)
        run = self._runs.get(key)
        if run is not None:
            return run
        if self.peers.has_dropped(key):
            raise ForgottenRun("this run is kept no longer", run_id)
        return await self.peers.look_up(key)

    async def _publish(self, run: Run, submission: Submission) -> None:
        lifetime = submission.cancel_after or self._settings.keep + submission.call.delay
        if submission.canvas is not None:
            await self._watch(run, submit_canvas(run, self._switchboard, lifetime, submission, submission.canvas))
        else:
            exists = self.ended.exists(run.task)
            await self._watch(run, submit_call(run, self._switchboard, lifetime, submission, exists))

    async def _watch(self, run: Run, outcome: Any) -> None:
        """End the run as its outcome says, once it has one."""
        try:
            future = await outcome
        except RingbackError as error:
            self.refuse(run, error)
        else:
            future.add_done_callback(partial(self.end, run))

    def _forget(self, run: Run) -> None:
        """Remove a run from those that this process knows."""
        self._runs.pop(run.key, None)
        self._retention.remove(run.key)
        run.on_growth = run.on_change = None

    def _policy(self, run: Run) -> str:
        policies = self._settings.client_gone.items()
        return next((policy for pattern, policy in policies if fnmatchcase(run.task, pattern)), "keep")

    def _drop_old(self) -> None:
        for key in self._retention.overdue():
            del self._runs[key]
            self.peers.on_dropped(key)
