"""The runs of all processes, in Redis, so that each process can answer for all of them.

Each run has one owner, the process that waits for its result, and only the owner writes: the run's record, its last
events, and a message on the run's channel whenever they have changed. The other processes read, and read again at each
message. An owner holds a lease, which its heartbeat renews. When the lease has run out, the process that is asked next
for one of its runs takes that run over.

The methods are for the loop and return at once or are awaited; greenlets speak to Redis.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from redis import RedisError

from ringback.errors import ForgottenRun, StoreUnavailable
from ringback.loop_queue import LoopQueue, run_in_greenlet
from ringback.runs.records import has_ended, to_record
from ringback.runs.redis_channel import RunChannel
from ringback.runs.redis_keys import HEARTBEAT_INTERVAL, TIMEOUT, connect, key, log_errors
from ringback.runs.run import EVENTS_KEPT, Run, RunEvent
from ringback.wire import ReconnectBackoff, keep_connected

T = TypeVar("T")

#: Seconds of an owner's lease: after so long without a heartbeat the process counts as ended.
LEASE = 10

#: Tombstone lifetime, as a multiple of RINGBACK_KEEP: a dropped run answers 410 until then, and 404 afterwards.
TOMBSTONE_FACTOR = 7


@dataclass
class Stored:
    """What Redis has of a run."""

    record: dict[str, Any]
    events: list[RunEvent]
    owner_lives: bool  #: or is not needed any more


class RedisStore:
    """The runs in Redis.

    :param url: of the Redis.
    :param keep: seconds for which a run is kept.
    """

    def __init__(self, url: str, keep: float) -> None:
        self._process = uuid4().hex  # the name of this process, as an owner
        self._keep = max(1, int(keep))
        self._redis = connect(url)
        self._channel = RunChannel(self._redis, self._process, self._read)
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
        return bool(await self._ask(self._redis.set, key("run", run.run_id), self._record(run), nx=True, ex=self._keep))

    async def take_over(self, run: Run) -> bool:
        """Become the owner of a run whose owner has ended; false if another process was faster.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        return bool(await self._ask(self._redis.set, key("takeover", run.run_id), self._process, nx=True, ex=LEASE))

    def save(self, run: Run) -> None:
        """Store a run that has changed, soon."""
        self._to_save[run.run_id] = run
        self._work.set()

    async def replicated(self, run: Run) -> None:
        """Wait until all that has happened to a run is stored, for as long as Redis may take."""
        last = run.events[-1].number
        await run.wait(lambda: run.replicated >= last, TIMEOUT)

    async def load(self, run_id: str) -> Stored | None:
        """Read a run; ``None`` if there never was one.

        :raises ForgottenRun: there was one, and it is no longer kept.
        :raises StoreUnavailable: Redis cannot be reached.
        """
        if run_id in self._forgetting:
            await asyncio.wait([self._forgetting[run_id]], timeout=TIMEOUT)
        stored, existed = await self._ask(self._load, run_id)
        if stored is None and existed:
            raise ForgottenRun("this run is kept no longer", run_id)
        return stored

    def forget(self, run: Run) -> None:
        """Remove a run that was not made after all; ``load`` waits until that is done."""
        self._forgetting[run.run_id] = asyncio.get_running_loop().create_future()
        gevent.spawn(log_errors, self._remove, run)

    async def detach(self, run: Run) -> None:
        """Record that a client of this process was told to come back for another process's run.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        await self._ask(self._redis.set, key("detached", run.run_id), "", ex=self._keep)

    async def wanted_elsewhere(self, run: Run) -> bool:
        """Whether another process has a client that waits for this run, or will come back for it.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        detached = await self._ask(self._redis.exists, key("detached", run.run_id))
        [(_, followers)] = await self._ask(self._redis.pubsub_numsub, key("run", run.run_id))
        return bool(detached or followers)

    def follow(self, run_id: str, on_news: Callable[[Stored | None], object]) -> None:
        """Have the loop call ``on_news`` with what is stored of a run: now, at each change, and when its owner ends.

        It gets ``None`` once the run is removed, because it was not made after all.
        """
        self._followers[run_id] = on_news
        self._channel.follow(run_id)

    def unfollow(self, run_id: str) -> None:
        """Stop to follow a run."""
        self._followers.pop(run_id, None)
        self._channel.unfollow(run_id)

    async def _ask(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return await run_in_greenlet(self._loop_queue, function, *args, **kwargs)
        except RedisError as error:
            raise StoreUnavailable(f"Redis, where runs are shared: {error}") from error

    def _record(self, run: Run) -> str:
        return json.dumps({**to_record(run), "owner": self._process})

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
        pipeline = self._redis.pipeline(transaction=False)
        for run in runs.values():
            pipeline.set(key("run", run.run_id), self._record(run), ex=self._keep)
            pipeline.set(key("tombstone", run.run_id), "", ex=TOMBSTONE_FACTOR * self._keep)
            if new := run.events_after(run.replicated):
                events = key("events", run.run_id)
                pipeline.rpush(events, *(json.dumps([event.number, event.name, event.data]) for event in new))
                pipeline.ltrim(events, -EVENTS_KEPT, -1)
                pipeline.expire(events, self._keep)
            pipeline.publish(key("run", run.run_id), "")
        stored = [(run, run.events[-1].number) for run in runs.values()]
        pipeline.execute()
        for run, number in stored:
            run.replicated = number
            self._loop_queue.post(run.wake)

    def _remove(self, run: Run) -> None:
        try:
            with self._writing:  # or what is being written now would come after
                self._to_save.pop(run.run_id, None)
                self._redis.delete(*(key(kind, run.run_id) for kind in ("run", "events", "tombstone")))
                self._redis.publish(key("run", run.run_id), "")  # or a process that follows it would wait for its end
        finally:
            self._loop_queue.post(self._on_removed, run.run_id)

    def _on_removed(self, run_id: str) -> None:
        self._forgetting.pop(run_id).set_result(None)

    def _load(self, run_id: str) -> tuple[Stored | None, bool]:
        """What is stored of a run, and whether it has ever existed."""
        pipeline = self._redis.pipeline()
        pipeline.get(key("run", run_id))
        pipeline.exists(key("tombstone", run_id))
        pipeline.lrange(key("events", run_id), 0, -1)
        text, existed, events = pipeline.execute()
        if text is None:
            return None, bool(existed)
        record = json.loads(text)
        owner_lives = has_ended(record) or bool(self._redis.exists(key("owner", record["owner"])))
        numbered = {event[0]: RunEvent(*event) for event in map(json.loads, events)}  # a repeated write stored it twice
        return Stored(record, list(numbered.values()), owner_lives), True

    def _read(self, run_id: str) -> None:
        """Read a run, and report it to the one that follows it."""
        if run_id not in self._followers:
            return
        stored, _ = self._load(run_id)
        if run_id in self._followers:
            self._loop_queue.post(self._followers[run_id], stored)

    def _renew_lease(self, on_connected: Callable[[], object]) -> None:
        while True:
            self._redis.set(key("owner", self._process), "", ex=LEASE)
            on_connected()
            for run_id in list(self._followers):
                self._read(run_id)
            gevent.sleep(HEARTBEAT_INTERVAL)

    def _leave(self) -> None:
        log_errors(self._store, self._to_save)
        log_errors(self._redis.delete, key("owner", self._process))
