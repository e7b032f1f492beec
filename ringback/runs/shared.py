"""The runs of several processes that share a Redis: each process answers for all runs. On the loop's greenlet.

A run of another process is followed for as long as a client asks for it here. If that process has ended, the first
process that is asked takes the run over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from ringback.calls import Switchboard
from ringback.errors import KeyReused, LostRun, PublishUnconfirmed, Refused
from ringback.runs.background import Background
from ringback.runs.records import from_record, restore
from ringback.runs.redis_keys import HEARTBEAT_INTERVAL
from ringback.runs.redis_records import Stored
from ringback.runs.redis_store import RedisStore
from ringback.runs.registry import RunRegistry
from ringback.runs.run import Run
from ringback.runs.states import Event, State

logger = logging.getLogger(__name__)


class RedisPeers:
    """The processes that share a Redis with this one.

    :param registry: the runs of this process.
    :param store: the Redis.
    """

    take_over = True

    def __init__(self, registry: RunRegistry, switchboard: Switchboard, store: RedisStore) -> None:
        self._registry, self._switchboard, self._store = registry, switchboard, store
        store.on_erased = self._on_erased
        self._background = Background("a shared run")

    async def look_up(self, key: str) -> Run | None:
        """Find a run that another process has started, and follow it."""
        stored = await self._store.load(key)
        known = self._registry.get(key)  # it may have been started here in the meantime
        return known or (self._follow(stored) if stored is not None else None)

    async def claim(self, run: Run, shared: bool) -> bool:
        """Claim a new run for this process, or follow it if another process has it."""
        if not shared or await self._store.claim(run):
            run.on_change = self._store.save
            self._store.save(run)
            return True
        run.owned = False
        self._store.follow(run.key, partial(self._on_news, run))
        return False

    async def replicated(self, run: Run) -> None:
        """Wait until the other processes know of this run what this one knows."""
        if run.owned:
            await self._store.replicated(run)
        elif not run.has_ended:
            await self._store.detach(run)

    def unfollow(self, run: Run) -> None:
        """Stop to follow a run of another process."""
        self._store.unfollow(run.key)

    def when_unwanted(self, run: Run, drop: Callable[[], object]) -> None:
        """Call ``drop`` once neither a client here nor one elsewhere waits for the run, or was told to come back."""
        self._background.start(self._drop_when_unwanted(run, drop))

    def forget(self, run: Run) -> None:
        """Remove the run from Redis."""
        self._store.forget(run)

    async def erase(self, run: Run) -> None:
        """Remove the run from Redis, and tell its owner to forget it."""
        await self._store.erase(run)

    def has_dropped(self, key: str) -> bool:
        """The tombstones are in Redis, where ``look_up`` finds them."""
        return False

    def on_dropped(self, key: str) -> None:
        """Nothing to do: Redis has the tombstone."""

    def _on_erased(self, key: str) -> None:
        run = self._registry.get(key)
        if run is not None:
            self._registry.on_erased(run)

    async def _drop_when_unwanted(self, run: Run, drop: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL)  # time for a client that asks another process to be heard of
            if run.has_ended or run.clients or run.detached:
                return
            if not await self._store.wanted_elsewhere(run):
                drop()
                return

    def _follow(self, stored: Stored) -> Run:
        run = from_record(stored.record, stored.events)
        if not run.has_ended:
            self._registry.follow(run)
            self._store.follow(run.key, partial(self._on_news, run))
        return run

    def _on_news(self, run: Run, stored: Stored | None) -> None:
        if run.owned or run.has_ended:
            return
        if stored is None:
            run.refuse(Refused("another process has had this run, and could not start it", run.run_id))
            return
        if stored.record["fingerprint"] != run.fingerprint:
            run.refuse(KeyReused("this idempotency key or id stands for another request", run.run_id))
            return
        restore(run, stored.record, stored.events)
        if not stored.owner_lives:
            self._background.start(self._take_over(run))

    async def _take_over(self, run: Run) -> None:
        """Wait for the run in the place of its owner, which has ended."""
        if run.owned or not await self._store.take_over(run) or run.owned:
            return
        self._store.unfollow(run.key)
        self._registry.follow(run)
        run.owned, run.on_change = True, self._store.save
        self._store.save(run)
        if run.state is State.ACCEPTED:
            why = PublishUnconfirmed("its process ended before the broker had the message", run.run_id)
            self._registry.refuse(run, why)
        elif self._switchboard.results_are_shared and not run.members:
            await self._registry.take_over(run)
        else:
            run.fail(Event.FAILED, LostRun("the process that waited for the result has ended", run.run_id))
            self._registry.keep(run)
