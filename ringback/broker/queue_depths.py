"""How many tasks wait in each queue: for autoscaling, and to refuse calls with 503 when a queue is too long.

A greenlet of its own reads the depths twice a second, over a link of its own. Any other greenlet gets what it read
last, and waits for nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

import gevent
from celery import Celery
from gevent.event import Event

from ringback.broker.kinds import connect
from ringback.broker.link import Depth, Link
from ringback.errors import BrokerUnavailable, QueueTooLong
from ringback.loop_queue import LoopQueue
from ringback.settings import Settings
from ringback.wire import ReconnectBackoff, keep_connected

#: Seconds between two readings. A flood of 2000 tasks a second is a thousand tasks long when it is first seen.
READ_INTERVAL = 0.5

#: Seconds between two readings of a queue for which calls are kept back.
SOON_INTERVAL = 0.05

#: Seconds until the broker is asked again for a queue that does not exist: RabbitMQ logs an error each time.
MISSING_INTERVAL = 5.0

#: Seconds from when a message is made until it has declared its queue.
PUBLISH_TIME = 1.0


class QueueDepths:
    """The depths of some queues.

    :param app: the Celery app whose broker is asked.
    :param names: gives the names of the queues.
    """

    def __init__(self, app: Celery, settings: Settings, names: Callable[[], list[str]]) -> None:
        self._app, self._settings, self._names = app, settings, names
        self.on_depth: Callable[[str, Depth], object] = lambda name, depth: None  #: gets each reading of a queue
        self.on_lost: Callable[[], object] = lambda: None  #: called when the broker cannot be asked any more
        self._soon: set[str] = set()  # the queues to be read before all are
        self._wanted = Event()  # set while there are some
        self._depths: dict[str, Depth] = {}
        self._missing: dict[str, float] = {}  # by name: when the broker had no such queue
        self._published: dict[str, float] = {}  # by name: when a message for it was made that may declare it
        self._backoff = ReconnectBackoff()
        self._link: Link | None = None

    def all(self) -> dict[str, Depth]:
        """The depths of the queues that exist, by name.

        :raises BrokerUnavailable: the broker cannot be asked at the moment.
        """
        if self._link is None:
            raise BrokerUnavailable("the broker cannot be asked for its queues")
        return dict(sorted(self._depths.items()))

    def check(self, name: str) -> None:
        """Check that a message may be published to this queue.

        :raises QueueTooLong: more messages wait in it than RINGBACK_MAX_QUEUE allows.
        """
        limit, depth = self._settings.max_queue, self._depths.get(name)
        if depth is None:
            self._published[name] = time.monotonic()
        if limit and depth is not None and depth.messages >= limit:
            raise QueueTooLong(f"{depth.messages} tasks wait in queue {name!r}; RINGBACK_MAX_QUEUE allows {limit}")

    def read_soon(self, name: str) -> None:
        """Have a queue read before its time, because calls are kept back for it."""
        if name in self._depths:
            self._soon.add(name)
            self._wanted.set()

    def start(self, loop_queue: LoopQueue) -> None:
        """Start to read; returns at once."""
        self._greenlet = gevent.spawn(keep_connected, self._serve, self._backoff, "reading queue depths")

    def stop(self) -> None:
        """Stop to read the depths."""
        self._greenlet.kill(block=False)
        if self._link is not None:
            self._link.abort()

    def _serve(self) -> None:
        link = connect(self._app, self._settings, self._backoff.attempts)
        try:
            while True:
                self._read(link, self._names())
                self._link = link
                self._backoff.connected()
                self._read_until(link, time.monotonic() + READ_INTERVAL)
                link.beat()
        finally:
            self._link = None
            self._depths.clear()
            link.discard()
            self.on_lost()

    def _read_until(self, link: Link, end: float) -> None:
        """Read only the queues that are wanted soon, until this moment."""
        while (left := end - time.monotonic()) > 0:
            if left > SOON_INTERVAL and self._wanted.wait(left - SOON_INTERVAL):
                gevent.sleep(SOON_INTERVAL * random.uniform(0.5, 1.5))  # not always the same of several processes first
                soon, self._soon = self._soon, set()
                self._wanted.clear()
                self._read(link, soon)
            else:
                gevent.sleep(max(0.0, end - time.monotonic()))

    def _read(self, link: Link, names: Iterable[str]) -> None:
        for name in names:
            if self._is_missing(name):
                continue
            depth = link.depth(name)
            if depth is not None:
                self._depths[name] = depth
                self._published.pop(name, None)
                self.on_depth(name, depth)
            else:
                self._depths.pop(name, None)
                self._missing[name] = time.monotonic()

    def _is_missing(self, name: str) -> bool:
        """Whether the broker had no such queue a moment ago, and no message has declared it since."""
        found = self._missing.get(name)
        if found is None or time.monotonic() - found > MISSING_INTERVAL:
            return False
        return self._published.get(name, 0.0) < found - PUBLISH_TIME
