"""The runs of all processes, in Redis, so that each process can answer for all of them.

Each run has one owner, the process that waits for its result, and only the owner writes: the run's record, its last
events, and a message on the run's channel whenever they have changed. The other processes read, and read again at each
message. An owner holds a lease, which its heartbeat renews. When the lease has run out, the process that is asked next
for one of its runs takes that run over.

The methods are for the loop and return at once or are awaited; greenlets speak to Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from redis import Redis, RedisError

from ringback.errors import ForgottenRun, StoreUnavailable
from ringback.loop_queue import LoopQueue, run_in_greenlet
from ringback.runs.redis_channel import RunChannel
from ringback.runs.redis_keys import HEARTBEAT_INTERVAL, TIMEOUT, key, log_errors
from ringback.runs.redis_records import RedisRecords, Stored
from ringback.runs.run import Run
from ringback.wire import ReconnectBackoff, keep_connected

T = TypeVar("T")

#: Seconds of an owner's lease: after so long without a heartbeat the process counts as ended.
LEASE = 10


class RedisStore:
    """The runs in Redis.

    :param redis: a client of it, as ``redis_keys.connect`` makes them.
    :param keep: seconds for which a run is kept.
    :param keep_bytes: for all runs that have ended.
    """

    def __init__(self, redis: Redis, keep: float, keep_bytes: int) -> None:
        self._process = uuid4().hex  # the name of this process, as an owner
        self._keep = max(1, int(keep))
        self._redis = redis
        self._records = RedisRecords(self._redis, self._process, keep, keep_bytes)
        self._channel = RunChannel(self._redis, self._process, self._read, self._on_order)
        self.on_erased: Callable[[str], object]  #: called on the loop with the key of a run that its caller has erased
        self._loop_queue: LoopQueue
        self._to_save: dict[str, Run] = {}
        self._forgetting: dict[str, asyncio.Future[None]] = {}
        self._writing = BoundedSemaphore()
        self._work = Event()
        self._followers: dict[str, Callable[[Stored | None], object]] = {}
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def start(self, loop_queue: LoopQueue) -> None:
        """Start to save and to listen."""
        self._loop_queue = loop_queue
        for session, purpose in (
            (self._write, "saving shared runs"),
            (self._channel.listen, "following shared runs"),
            (self._renew_lease, "the lease of shared runs"),
        ):
            backoff = ReconnectBackoff()
            self._greenlets.append(gevent.spawn(keep_connected, partial(session, backoff.connected), backoff, purpose))

    def stop(self) -> None:
        """Save what is left, and leave the runs to the other processes."""
        gevent.killall(self._greenlets, block=False)
        last = gevent.spawn(self._leave)
        last.join(TIMEOUT)

    async def claim(self, run: Run) -> bool:
        """Store a new run, unless one of its id is stored already; returns whether it was stored.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        return await self._ask(self._records.claim, run)

    async def take_over(self, run: Run) -> bool:
        """Become the owner of a run whose owner has ended; false if another process was faster.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        return bool(await self._ask(self._redis.set, key("takeover", run.key), self._process, nx=True, ex=LEASE))

    def save(self, run: Run) -> None:
        """Store a run that has changed, soon."""
        self._to_save[run.key] = run
        self._work.set()

    async def replicated(self, run: Run) -> None:
        """Wait until all that has happened to a run is stored, for as long as Redis may take."""
        last = run.events.last
        await run.wait(lambda: run.replicated >= last, TIMEOUT)

    async def load(self, name: str) -> Stored | None:
        """Read a run; ``None`` if there never was one.

        :raises ForgottenRun: there was one, and it is no longer kept.
        :raises StoreUnavailable: Redis cannot be reached.
        """
        if name in self._forgetting:
            await asyncio.wait([self._forgetting[name]], timeout=TIMEOUT)
        stored, existed = await self._ask(self._records.load, name)
        if stored is None and existed:
            raise ForgottenRun("this run is kept no longer", name.partition("/")[2])
        return stored

    def forget(self, run: Run) -> None:
        """Remove a run that was not made after all; ``load`` waits until that is done."""
        self._forgetting[run.key] = asyncio.get_running_loop().create_future()
        gevent.spawn(log_errors, self._remove_unmade, run)

    async def erase(self, run: Run) -> None:
        """Remove what is stored of a run, but for its tombstone, and have its owner forget it.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        await self._ask(self._remove, run, existed=True)

    async def detach(self, run: Run) -> None:
        """Record that a client of this process was told to come back for another process's run.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        await self._ask(self._redis.set, key("detached", run.key), "", ex=self._keep)

    async def wanted_elsewhere(self, run: Run) -> bool:
        """Whether another process has a client that waits for this run, or will come back for it.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        detached = await self._ask(self._redis.exists, key("detached", run.key))
        [(_, followers)] = await self._ask(self._redis.pubsub_numsub, key("run", run.key))
        return bool(detached or followers)

    def follow(self, name: str, on_news: Callable[[Stored | None], object]) -> None:
        """Have the loop call ``on_news`` with what is stored of a run: now, at each change, and when its owner ends.

        It gets ``None`` once the run is removed, because it was not made after all.
        """
        self._followers[name] = on_news
        self._channel.follow(name)

    def unfollow(self, name: str) -> None:
        """Stop to follow a run."""
        self._followers.pop(name, None)
        self._channel.unfollow(name)

    async def _ask(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return await run_in_greenlet(self._loop_queue, function, *args, **kwargs)
        except RedisError as error:
            raise StoreUnavailable(f"Redis, where runs are shared: {error}") from error

    # All below runs on greenlets.

    def _write(self, on_connected: Callable[[], object]) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            with self._writing:
                runs, self._to_save = self._to_save, {}
                try:
                    self._store(runs)
                except BaseException:
                    self._to_save = runs | self._to_save
                    self._work.set()
                    raise
            on_connected()

    def _store(self, runs: dict[str, Run]) -> None:
        self._records.save(runs)
        for run in runs.values():
            self._loop_queue.post(run.wake)

    def _remove(self, run: Run, existed: bool) -> None:
        with self._writing:  # or what is being written now would come after
            self._to_save.pop(run.key, None)
            self._records.remove(run, existed)

    def _remove_unmade(self, run: Run) -> None:
        try:
            self._remove(run, existed=False)
        finally:
            self._loop_queue.post(self._on_removed, run.key)

    def _on_removed(self, name: str) -> None:
        self._forgetting.pop(name).set_result(None)

    def _on_order(self, name: str) -> None:
        """Another process has removed a run of this one, which its caller has erased."""
        self._loop_queue.post(self.on_erased, name)

    def _read(self, name: str) -> None:
        """Read a run, and report it to the one that follows it."""
        if name not in self._followers:
            return
        stored, _ = self._records.load(name)
        if name in self._followers:
            self._loop_queue.post(self._followers[name], stored)

    def _renew_lease(self, on_connected: Callable[[], object]) -> None:
        while True:
            self._redis.set(key("owner", self._process), "", ex=LEASE)
            on_connected()
            for name in list(self._followers):
                self._read(name)
            gevent.sleep(HEARTBEAT_INTERVAL)

    def _leave(self) -> None:
        log_errors(self._store, self._to_save)
        log_errors(self._redis.delete, key("owner", self._process))
