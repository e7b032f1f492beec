"""What is heard of the runs of other processes, over Redis' publish and subscribe.

``follow`` and ``unfollow`` are for the loop and return at once. One greenlet listens; it begins again for as long as
it takes when the connection is lost, and tells of each run anew, since something may have been missed.
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from redis import Redis
from redis.client import PubSub

from ringback.runs.redis_keys import HEARTBEAT_INTERVAL, key, quietly


class RunChannel:
    """The channels of the runs that are followed here.

    :param redis: where they are.
    :param name: of this process.
    :param tell: called on the listening greenlet with the id of a followed run of which there may be news.
    """

    def __init__(self, redis: Redis, name: str, tell: Callable[[str], None]) -> None:
        self._redis, self._name, self._tell = redis, name, tell
        self._pubsub: PubSub | None = None
        self.followed: set[str] = set()

    def follow(self, id: str) -> None:
        """Be told of a run: now, and whenever it changes."""
        self.followed.add(id)
        if self._pubsub is not None:
            gevent.spawn(quietly, self._pubsub.subscribe, key("run", id))

    def unfollow(self, id: str) -> None:
        """No longer."""
        if id in self.followed:
            self.followed.discard(id)
            if self._pubsub is not None:
                gevent.spawn(quietly, self._pubsub.unsubscribe, key("run", id))

    def listen(self) -> None:
        """Listen until the connection is lost.

        :raises redis.RedisError: it is lost.
        :raises ConnectionError: Redis has been silent for two pulses.
        """
        pubsub = self._redis.pubsub()
        pubsub.subscribe(key("owner", self._name), *(key("run", id) for id in self.followed))
        self._pubsub = pubsub
        asked = False
        try:
            while True:
                message = pubsub.get_message(timeout=HEARTBEAT_INTERVAL)
                if message is None and asked:
                    raise ConnectionError("Redis is silent")
                asked = message is None
                if message is None:
                    pubsub.ping()
                elif message["type"] in ("subscribe", "message"):
                    self._tell(message["channel"].rpartition(":")[2])
        finally:
            self._pubsub = None
            pubsub.close()
