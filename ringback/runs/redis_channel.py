"""What is published on the runs of other processes, over Redis' publish and subscribe.

``follow`` and ``unfollow`` are for the loop and return at once. One greenlet listens. When its connection was lost, it
reads each followed run anew, since a message may have been missed.
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from redis import Redis
from redis.client import PubSub

from ringback.runs.redis_keys import HEARTBEAT_INTERVAL, key, log_errors


class RunChannel:
    """The channels of the runs that are followed here, and this process's own.

    :param redis: where the channels are.
    :param process: the name of this process.
    :param on_news: called on the listening greenlet with the key of a followed run that may have changed.
    :param on_order: called there with the key of a run of this process that another process has erased.
    """

    def __init__(
        self, redis: Redis, process: str, on_news: Callable[[str], None], on_order: Callable[[str], None]
    ) -> None:
        self._redis, self._process, self._on_news, self._on_order = redis, process, on_news, on_order
        self._pubsub: PubSub | None = None
        self.followed: set[str] = set()

    def follow(self, name: str) -> None:
        """Report a run: now, and whenever it changes."""
        self.followed.add(name)
        if self._pubsub is not None:
            gevent.spawn(log_errors, self._pubsub.subscribe, key("run", name))

    def unfollow(self, name: str) -> None:
        """Stop to report a run."""
        if name in self.followed:
            self.followed.discard(name)
            if self._pubsub is not None:
                gevent.spawn(log_errors, self._pubsub.unsubscribe, key("run", name))

    def listen(self, on_listening: Callable[[], object]) -> None:
        """Listen until the connection is lost.

        :param on_listening: called once the channels are subscribed.
        :raises redis.RedisError: the connection is lost.
        :raises ConnectionError: Redis has been silent for two heartbeats.
        """
        pubsub = self._redis.pubsub()
        pubsub.subscribe(key("owner", self._process), *(key("run", name) for name in self.followed))
        self._pubsub = pubsub
        on_listening()
        asked = False
        try:
            while True:
                message = pubsub.get_message(timeout=HEARTBEAT_INTERVAL)
                if message is None and asked:
                    raise ConnectionError("Redis is silent")
                asked = message is None
                if message is None:
                    pubsub.ping()
                elif message["channel"] == key("owner", self._process):
                    if message["type"] == "message":
                        self._on_order(message["data"])
                elif message["type"] in ("subscribe", "message"):
                    self._on_news(message["channel"].split(":", 2)[2])
        finally:
            self._pubsub = None
            pubsub.close()
