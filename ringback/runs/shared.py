"""The runs of several processes that share a Redis: any of them answers for any run. On the loop's greenlet.

A run of another process is followed for as long as somebody asks for it here. If that process has ended, the run is
taken over by the first that is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

from ringback.calls.switchboard import Switchboard
from ringback.errors import (
    KeyReused,
    LostRun,
    PublishUnconfirmed,
    RingbackError,
    ShuttingDown,
    StoreUnavailable,
)
from ringback.runs.redis_keys import HEARTBEAT_INTERVAL
from ringback.runs.redis_store import RunStore, Stored
from ringback.runs.registry import Runs
from ringback.runs.run import ACCEPTED, FAILURE, Run
from ringback.runs.submission import Submission

logger = logging.getLogger(__name__)


class SharedRuns(Runs):
    """The runs of this process, and a look at those of the others.

    :param store: where they meet.
    """

    def __init__(self, switchboard: Switchboard, store: RunStore) -> None:
        super().__init__(switchboard)
        self._store = store
        self._work: set[asyncio.Task[None]] = set()  # asyncio itself keeps none of its tasks alive

    def leave(self, run: Run, client: object) -> None:
        """This client is not in the run's audience any more."""
        super().leave(run, client)
        if not run.owned and not run.audience:
            self._store.unfollow(run.id)
            self._runs.pop(run.id, None)

    async def told(self, run: Run) -> None:
        """Wait until the other processes know of this run what this one does."""
        if run.owned:
            await self._store.saved(run)
        elif not run.closed:
            await self._store.detach(run)

    def abandon(self, run: Run) -> None:
        """A client that waited for this run has gone. What becomes of it is the owner's to say."""
        if run.owned and not run.closed and self._policy(run) != "keep":
            self._start(self._abandon_when_unwanted(run))

    async def _abandon_when_unwanted(self, run: Run) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL)  # time for one who asks elsewhere to be heard of
            if run.closed or run.audience or run.detached:
                return
            if not await self._store.wanted_elsewhere(run):
                super().abandon(run)
                return

    async def _look_up(self, id: str) -> Run | None:
        run = await super()._look_up(id)
        if run is not None:
            return run
        stored = await self._store.load(id)
        # It may have been made here in the meantime.
        return self._runs.get(id) or (self._follow(stored) if stored is not None else None)

    async def _is_new(self, run: Run, order: Submission) -> bool:
        if not order.may_be_repeated or await self._claim(run):
            run.on_change = self._store.save
            self._store.save(run)
            return True
        run.owned = False
        self._store.follow(run.id, partial(self._on_news, run))
        return False

    async def _claim(self, run: Run) -> bool:
        try:
            return await self._store.claim(run)
        except StoreUnavailable as error:
            self._refuse(run, error)
            return True

    def _follow(self, stored: Stored) -> Run:
        record = stored.record
        run = Run(record["id"], record["task"], record["caller"], record["fingerprint"])
        run.owned = False
        run.restore(record, stored.events)
        if not run.closed:
            self._runs[run.id] = run
            self._store.follow(run.id, partial(self._on_news, run))
        return run

    def _on_news(self, run: Run, stored: Stored) -> None:
        if run.owned or run.closed:
            return
        if (stored.record["caller"], stored.record["fingerprint"]) != (run.caller, run.fingerprint):
            run.refuse(KeyReused("this idempotency key or id stands for another request", run.id))
            return
        run.restore(stored.record, stored.events)
        if not stored.owned:
            self._start(self._take_over(run))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._work.add(task := asyncio.create_task(work))
        task.add_done_callback(self._on_worked)

    def _on_worked(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if task.exception() is not None:
            logger.warning("not done for a shared run: %s", task.exception())

    async def _take_over(self, run: Run) -> None:
        """The process that waited for the run's result has ended: wait in its place."""
        if run.owned or not await self._store.adopt(run) or run.owned:
            return
        self._store.unfollow(run.id)
        self._runs[run.id] = run
        run.owned, run.on_change = True, self._store.save
        self._store.save(run)
        if run.state == ACCEPTED:
            self._refuse(run, PublishUnconfirmed("its process ended before the broker had the message", run.id))
        elif self._switchboard.results_are_shared and not run.members:
            await self._expect(run, self._settings.keep)
        else:
            run.fail(FAILURE, LostRun("the process that waited for the result has ended", run.id))
            self._keep(run)

    def _refuse(self, run: Run, error: RingbackError) -> None:
        if isinstance(error, ShuttingDown):  # others will ask for it
            run.on_change = None
            run.refuse(error)
            return
        super()._refuse(run, error)
        if not run.detached:
            self._store.forget(run)

    def _remember_forgotten(self, id: str) -> None:
        """Nothing to do: the store knows."""
