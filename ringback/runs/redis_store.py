"""The runs of all processes, in Redis, so that any of them can answer for any.

For each run there is one owner, the process that waits for its result, and only the owner writes: the run's record, its
last events, and a word on the run's channel whenever they have changed. The others read, and read again when they hear
that word. When an owner has ended, whoever is asked for one of its runs next takes it over.

Its methods are for the loop and return at once or are awaited; Redis is spoken to on greenlets.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import gevent
from gevent.event import Event as GeventEvent
from gevent.lock import BoundedSemaphore
from redis import RedisError

from ringback.errors import ForgottenRun, StoreUnavailable
from ringback.loop_queue import LoopQueue, run_in_greenlet
from ringback.runs.redis_channel import RunChannel
from ringback.runs.redis_keys import HEARTBEAT_INTERVAL, TIMEOUT, connect, key, quietly
from ringback.runs.run import EVENTS_KEPT, Event, Run

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: An owner is taken for dead so many seconds after its last sign of life.
DEAD_AFTER = 10
#: Seconds between two attempts to reach Redis.
PAUSE = 0.5
#: How much longer than the run itself its having been is remembered: 410 for so long, then 404.
TOMBSTONE_FACTOR = 7


@dataclass
class Stored:
    """What Redis has of a run."""

    record: dict[str, Any]
    events: list[Event]
    owned: bool  #: whether its owner lives


class RunStore:
    """The runs in Redis.

    :param url: of the Redis.
    :param keep: seconds for which a run is kept.
    """

    def __init__(self, url: str, keep: float) -> None:
        self.name = uuid4().hex  #: of this process, as an owner
        self._keep = max(1, int(keep))
        self._redis = connect(url)
        self._channel = RunChannel(self._redis, self.name, self._tell)
        self._hop: LoopQueue
        self._to_save: dict[str, Run] = {}
        self._forgetting: dict[str, asyncio.Future[None]] = {}
        self._writing = BoundedSemaphore()
        self._work = GeventEvent()
        self._on_news: dict[str, Callable[[Stored], object]] = {}
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def start(self, hop: LoopQueue) -> None:
        """Begin to save and to listen."""
        self._hop = hop
        self._greenlets = [gevent.spawn(self._retry, what) for what in (self._write, self._channel.listen, self._live)]

    def stop(self) -> None:
        """Save what is left, and leave the runs to others."""
        gevent.killall(self._greenlets, block=False)
        last = gevent.spawn(self._leave)
        last.join(TIMEOUT)

    async def claim(self, run: Run) -> bool:
        """Store a new run, unless one with its id is stored already.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        record = json.dumps({**run.record(), "owner": self.name})
        return bool(await self._ask(self._redis.set, key("run", run.id), record, nx=True, ex=self._keep))

    async def adopt(self, run: Run) -> bool:
        """Become the owner of a run whose owner has ended, unless another process was faster.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        return bool(await self._ask(self._redis.set, key("heir", run.id), self.name, nx=True, ex=DEAD_AFTER))

    def save(self, run: Run) -> None:
        """Store a run that has changed, soon."""
        self._to_save[run.id] = run
        self._work.set()

    async def saved(self, run: Run) -> None:
        """Wait until all that has happened to a run is stored; not longer than Redis may take."""
        last = run.events[-1].number
        await run.wait(lambda: run.saved >= last, TIMEOUT)

    async def load(self, id: str) -> Stored | None:
        """The run, or nothing if there never was one.

        :raises ForgottenRun: there was one, and it is kept no longer.
        :raises StoreUnavailable: Redis cannot be reached.
        """
        if id in self._forgetting:
            await asyncio.wait([self._forgetting[id]], timeout=TIMEOUT)
        stored, made = await self._ask(self._load, id)
        if stored is None and made:
            raise ForgottenRun("this run is kept no longer", id)
        return stored

    def forget(self, run: Run) -> None:
        """Remove a run that was not made after all; until that is done, nobody is told of it."""
        self._forgetting[run.id] = asyncio.get_running_loop().create_future()
        gevent.spawn(quietly, self._remove, run)

    async def detach(self, run: Run) -> None:
        """Note that a client of this process was told to come back for another one's run.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        await self._ask(self._redis.set, key("detached", run.id), "", ex=self._keep)

    async def wanted_elsewhere(self, run: Run) -> bool:
        """Whether another process has an audience for a run of this one, or a client that will come back.

        :raises StoreUnavailable: Redis cannot be reached.
        """
        detached = await self._ask(self._redis.exists, key("detached", run.id))
        [(_, followers)] = await self._ask(self._redis.pubsub_numsub, key("run", run.id))
        return bool(detached or followers)

    def follow(self, id: str, on_news: Callable[[Stored], object]) -> None:
        """Have the loop called with what is stored of a run: now, and whenever it changes, or its owner ends."""
        self._on_news[id] = on_news
        self._channel.follow(id)

    def unfollow(self, id: str) -> None:
        """No longer."""
        self._on_news.pop(id, None)
        self._channel.unfollow(id)

    async def _ask(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return await run_in_greenlet(self._hop, function, *args, **kwargs)
        except RedisError as error:
            raise StoreUnavailable(f"Redis, where runs are shared: {error}") from error

    # All below runs on greenlets.

    def _retry(self, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except (RedisError, OSError) as error:
                logger.warning("runs cannot be shared, next attempt in %.1f s: %s", PAUSE, error)
                gevent.sleep(PAUSE)

    def _write(self) -> None:
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

    def _store(self, runs: dict[str, Run]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for run in runs.values():
            pipeline.set(key("run", run.id), json.dumps({**run.record(), "owner": self.name}), ex=self._keep)
            pipeline.set(key("made", run.id), "", ex=TOMBSTONE_FACTOR * self._keep)
            if new := run.events_after(run.saved):
                events = key("events", run.id)
                pipeline.rpush(events, *(json.dumps([event.number, event.name, event.data]) for event in new))
                pipeline.ltrim(events, -EVENTS_KEPT, -1)
                pipeline.expire(events, self._keep)
            pipeline.publish(key("run", run.id), "")
        saved = [(run, run.events[-1].number) for run in runs.values()]
        pipeline.execute()
        for run, number in saved:
            run.saved = number
            self._hop.post(run.wake)

    def _remove(self, run: Run) -> None:
        try:
            with self._writing:  # or what is being written now would come after
                self._to_save.pop(run.id, None)
                self._redis.delete(*(key(kind, run.id) for kind in ("run", "events", "made")))
        finally:
            self._hop.post(self._forgotten, run.id)

    def _forgotten(self, id: str) -> None:
        self._forgetting.pop(id).set_result(None)

    def _load(self, id: str) -> tuple[Stored | None, bool]:
        """What is stored of a run, and whether it has ever been."""
        pipeline = self._redis.pipeline()
        pipeline.get(key("run", id))
        pipeline.exists(key("made", id))
        pipeline.lrange(key("events", id), 0, -1)
        text, made, events = pipeline.execute()
        if text is None:
            return None, bool(made)
        record = json.loads(text)
        owned = record["closed"] or bool(self._redis.exists(key("owner", record["owner"])))
        numbered = {event[0]: Event(*event) for event in map(json.loads, events)}  # twice there if a write was repeated
        return Stored(record, list(numbered.values()), owned), True

    def _tell(self, id: str) -> None:
        """Tell who follows this run what is stored of it."""
        if id not in self._on_news:
            return
        stored, _ = self._load(id)
        if stored is not None and id in self._on_news:
            self._hop.post(self._on_news[id], stored)

    def _live(self) -> None:
        while True:
            self._redis.set(key("owner", self.name), "", ex=DEAD_AFTER)
            for id in list(self._on_news):
                self._tell(id)
            gevent.sleep(HEARTBEAT_INTERVAL)

    def _leave(self) -> None:
        quietly(self._store, self._to_save)
        quietly(self._redis.delete, key("owner", self.name))
