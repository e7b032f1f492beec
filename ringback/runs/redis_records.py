"""What Redis holds of the runs of all processes, and how it is read and written. Runs on greenlets, never on the loop.

For each run there is its ``run`` (the record, a JSON object) and its ``events`` (a list). They leave Redis when their
time is over, or, the oldest first, when all that have ended take more than RINGBACK_KEEP_BYTES. A tombstone stays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from ringback.runs.event_log import RunEvent
from ringback.runs.records import has_ended, to_record
from ringback.runs.redis_keys import key
from ringback.runs.retention import TOMBSTONES_KEPT
from ringback.runs.run import Run
from ringback.runs.states import State

#: Tombstone lifetime, as a multiple of RINGBACK_KEEP: a dropped run answers 410 until then, and 404 afterwards.
TOMBSTONE_FACTOR = 7

#: The runs that one call of the script drops, at most: a script holds up all of Redis.
DROPPED_AT_ONCE = 100

#: Notes the size of a run that has ended, and drops what is too old or too much. Its names are those of ``SHARED``.
KEEP = f"""
local sizes, ended, total, tombstones, dropped = KEYS[1], KEYS[2], KEYS[3], KEYS[4], 0
local name, size, now, keep, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local bytes = redis.call('INCRBY', total, size - (tonumber(redis.call('HGET', sizes, name)) or 0))
redis.call('HSET', sizes, name, size)
redis.call('ZADD', ended, now, name)
while dropped < {DROPPED_AT_ONCE} do
  local oldest = redis.call('ZRANGE', ended, 0, 0, 'WITHSCORES')
  if not oldest[1] or (tonumber(oldest[2]) > now - keep and bytes <= most) then break end
  redis.call('DEL', ARGV[6] .. oldest[1], ARGV[7] .. oldest[1])
  redis.call('ZREM', ended, oldest[1])
  bytes = redis.call('DECRBY', total, redis.call('HGET', sizes, oldest[1]) or 0)
  redis.call('HDEL', sizes, oldest[1])
  dropped = dropped + 1
end
redis.call('ZREMRANGEBYSCORE', tombstones, '-inf', now - keep * {TOMBSTONE_FACTOR})
redis.call('ZREMRANGEBYRANK', tombstones, 0, -{TOMBSTONES_KEPT + 1})
"""

#: The keys that are not of one run: sizes by run, ended runs by time, the sum of the sizes, tombstones by time.
SHARED = [key("all", kind) for kind in ("sizes", "ended", "bytes", "tombstones")]
TOMBSTONES = SHARED[3]


@dataclass
class Stored:
    """What Redis has of a run."""

    record: dict[str, Any]
    events: list[RunEvent]
    owner_lives: bool  #: or is not needed any more


class RedisRecords:
    """The records of runs in Redis, as one process reads and writes them.

    :param process: the name of this process, as an owner.
    :param keep: seconds for which a run is kept.
    :param keep_bytes: for all runs that have ended.
    """

    def __init__(self, redis: Redis, process: str, keep: float, keep_bytes: int) -> None:
        self._redis, self._process, self._keep, self._keep_bytes = redis, process, max(1, int(keep)), keep_bytes
        self._drop_old = redis.register_script(KEEP)

    def claim(self, run: Run) -> bool:
        """Store a new run, unless one of its key is stored already; returns whether it was stored."""
        return bool(self._redis.set(key("run", run.key), self._record(run), nx=True, ex=self._keep))

    def save(self, runs: Mapping[str, Run]) -> None:
        """Store runs that have changed."""
        now, events = time.time(), {}
        pipeline = self._redis.pipeline(transaction=False)
        for name, run in runs.items():
            events[name] = run.events.last
            if run.state is State.REFUSED:  # it is about to be removed; a process that follows it must not see this
                continue
            pipeline.set(key("run", name), self._record(run), ex=self._keep)
            pipeline.zadd(TOMBSTONES, {name: now})
            if new := run.events.after(run.replicated):
                pipeline.rpush(
                    key("events", name), *(json.dumps([event.number, event.name, event.data]) for event in new)
                )
                pipeline.ltrim(key("events", name), -len(run.events), -1)
                pipeline.expire(key("events", name), self._keep)
            if run.has_ended:
                limits = [now, self._keep, self._keep_bytes, key("run", ""), key("events", "")]
                self._drop_old(SHARED, [name, run.size, *limits], client=pipeline)
            pipeline.publish(key("run", name), "")
        pipeline.execute()
        for name, run in runs.items():
            run.replicated = events[name]

    def remove(self, run: Run, existed: bool) -> None:
        """Remove a run, and tell the processes that follow it.

        :param existed: leave a tombstone, and have its owner forget the run, too.
        """
        name = run.key
        owner = json.loads(self._redis.get(key("run", name)) or "{}").get("owner") if existed else None
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(key("run", name), key("events", name))
        if existed:
            pipeline.zadd(TOMBSTONES, {name: time.time()})
        else:
            pipeline.zrem(TOMBSTONES, name)
        pipeline.publish(key("run", name), "")
        if owner is not None:
            pipeline.publish(key("owner", owner), name)
        pipeline.execute()

    def load(self, name: str) -> tuple[Stored | None, bool]:
        """What is stored of a run, and whether it has ever existed."""
        pipeline = self._redis.pipeline()
        pipeline.get(key("run", name))
        pipeline.zscore(TOMBSTONES, name)
        pipeline.lrange(key("events", name), 0, -1)
        text, died, events = pipeline.execute()
        if text is None:
            return None, died is not None
        record = json.loads(text)
        owner_lives = has_ended(record) or bool(self._redis.exists(key("owner", record["owner"])))
        numbered = {event[0]: RunEvent(*event) for event in map(json.loads, events)}  # a repeated write stored it twice
        return Stored(record, list(numbered.values()), owner_lives), True

    def _record(self, run: Run) -> str:
        return json.dumps({**to_record(run), "owner": self._process})
