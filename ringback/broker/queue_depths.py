"""How full the task queues are: for whoever scales the workers, and for a clear no while there is too much to do.

A greenlet of its own asks the broker, over a link of its own. Everybody else reads what it saw last and waits for
nothing, on any greenlet.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cached_property

import gevent
from celery import Celery

from ringback.broker.link import Link
from ringback.errors import BrokerUnavailable, QueueTooLong
from ringback.loop_queue import LoopQueue
from ringback.settings import Settings
from ringback.wire.backoff import ReconnectBackoff

logger = logging.getLogger(__name__)

#: Seconds between two looks. A flood of 2000 tasks a second is a thousand tasks long by the time it is seen.
LOOK_INTERVAL = 0.5

#: AMQP 0-9-1, "reply-code"; the broker closes the channel with it.
NOT_FOUND = 404

#: Seconds until a queue that is not there is asked for again: RabbitMQ writes an error into its log each time.
MISSING_INTERVAL = 5.0


@dataclass(frozen=True, slots=True)
class Depth:
    """A queue, as the broker described it."""

    messages: int  #: that wait; without those that a worker has taken, or prefetched
    consumers: int | None  #: ``None`` where the broker does not tell


class Queues:
    """The queues that the Celery app knows, and those that a caller may choose.

    :param app: its ``task_queues``, and wherever its router sends a task.
    """

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._depths: dict[str, Depth] = {}
        self._missing: dict[str, float] = {}  # until when it is not asked for
        self._outage = ReconnectBackoff()
        self._link: Link | None = None

    @property
    def names(self) -> list[str]:
        """All of them, by name."""
        return sorted({*self._routed, *self._app.amqp.queues, *self._settings.queues})

    @cached_property
    def _routed(self) -> list[str]:
        """Those that the app's router sends its tasks to; it makes each known to the app by that."""
        for task in self._app.tasks:
            self._app.amqp.router.route({}, task)
        return list(self._app.amqp.queues)

    def depths(self) -> dict[str, Depth]:
        """Those that exist, as they were seen last.

        :raises BrokerUnavailable: the broker cannot be asked for now.
        """
        if self._link is None:
            raise BrokerUnavailable("the broker cannot be asked for its queues")
        return dict(sorted(self._depths.items()))

    def check(self, name: str) -> None:
        """Say no before a message is made that would wait for too long.

        :raises QueueTooLong: more messages than the setting allows wait in this queue.
        """
        self._missing.pop(name, None)  # the message makes it
        limit, depth = self._settings.max_queue, self._depths.get(name)
        if limit and depth is not None and depth.messages >= limit:
            raise QueueTooLong(f"{depth.messages} tasks wait in queue {name!r}; RINGBACK_MAX_QUEUE allows {limit}")

    def start(self, hop: LoopQueue) -> None:
        """Begin to look; returns at once."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Look no more."""
        self._greenlet.kill(block=False)
        if self._link is not None:
            self._link.abort()

    def _run(self) -> None:
        while True:
            try:
                self._serve(Link(self._app, self._settings, self._outage.attempts))
            except Exception as error:
                pause = self._outage.next_attempt()
                logger.warning("no connection for looking at the queues, next attempt in %.1f s: %s", pause, error)
                gevent.sleep(pause)

    def _serve(self, link: Link) -> None:
        try:
            while True:
                self._look(link)
                self._link = link
                self._outage.end()
                gevent.sleep(LOOK_INTERVAL)
                link.beat()
        finally:
            self._link = None
            self._depths.clear()
            link.discard()

    def _look(self, link: Link) -> None:
        for name in self.names:
            if self._missing.get(name, 0) > time.monotonic():
                continue
            depth = self._ask(link, name)
            if depth is not None:
                self._depths[name] = depth
            else:
                self._depths.pop(name, None)
                self._missing[name] = time.monotonic() + MISSING_INTERVAL

    def _ask(self, link: Link, name: str) -> Depth | None:
        """What the broker says of a queue; ``None`` if there is none (AMQP 0-9-1, ``queue.declare``, "passive")."""
        with link.within(self._settings.connect_timeout):
            try:
                _, messages, consumers = link.channel.queue_declare(name, passive=True)
            except link.channel_errors as error:
                if getattr(error, "code", None) != NOT_FOUND:
                    raise
                link.reopen()
                return None
        return Depth(messages, consumers if link.speaks_amqp else None)
