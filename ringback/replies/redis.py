"""Replies from Redis. Two greenlets: the drainer reads, the subscriber writes.

A worker stores a result under its key and publishes it on the channel of the same name. Celery subscribes to that
channel wherever a task is called, which would make the loop wait for Redis. Here one subscription to a pattern is for
all calls of this process, whose ids begin alike. For a call with another id, such as one that a process which has ended
has made, the subscriber greenlet subscribes to its channel. A result that was published before a subscription took
effect, or while the connection was lost, is fetched from its key as soon as Redis confirms the subscription.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from celery.backends import redis as celery_redis
from gevent.event import Event
from redis import Connection, RedisError

from ringback.call_ids import beginning
from ringback.errors import RepliesUnavailable
from ringback.replies.drainer import ReplyBackend, ReplyConsumer, from_json
from ringback.wire.redis import connect_backend

logger = logging.getLogger(__name__)

#: What has a meaning in a pattern of channels (Redis, ``PSUBSCRIBE``).
SPECIAL = re.compile(rb"[*?\[\\]")


def _nothing() -> None:
    """No call waits for this subscription."""


class ChannelConsumer(ReplyConsumer):
    """Subscribed to the channels of all calls that are waited for."""

    _reader: Connection | None = None
    _subscriber: gevent.Greenlet[..., None] | None = None
    _heard = 0.0  # when Redis last said something, on time.monotonic
    _lost: Exception | None = None  # what ended the subscriber

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._wanted: dict[bytes, str] = {}  # task ids by key
        self._to_subscribe: set[bytes] = set()
        self._to_unsubscribe: set[bytes] = set()
        self._to_fetch: set[bytes] = set()
        self._when_listening: dict[bytes, Callable[[], object]] = {}
        self._work = Event()
        self._own = b""  # what the keys of this process's own calls begin with
        self._hears_own = False  # whether Redis has confirmed the subscription to their channels

    def consume_from(self, task_id: str) -> None:
        """Any greenlet: have the result of this task delivered."""
        key = self.backend.get_key_for_task(task_id)
        self._wanted[key] = task_id
        if not self._is_own(key):
            self._to_subscribe.add(key)
            self._work.set()

    def when_listening(self, task_id: str, callback: Callable[[], object]) -> bool:
        """Have ``callback`` called on the drainer greenlet once Redis has confirmed the subscription of this task.

        :returns: whether it has done so already.
        """
        key = self.backend.get_key_for_task(task_id)
        if self._hears_own and self._is_own(key):
            return True
        self._when_listening[key] = callback
        return False

    def cancel_for(self, task_id: str) -> None:
        """Any greenlet, and the garbage collector: stop waiting for the result of this task."""
        key = self.backend.get_key_for_task(task_id)
        self._when_listening.pop(key, None)
        if self._wanted.pop(key, None) is None or self._is_own(key):
            return
        if key in self._to_subscribe:
            self._to_subscribe.discard(key)
        else:
            self._to_unsubscribe.add(key)
            self._work.set()

    def open(self) -> None:
        """Connect, and subscribe to the channels of all calls that wait.

        :raises redis.RedisError: Redis cannot be reached.
        """
        reader = self._reader = self.backend.connect()
        self._heard, self._lost = time.monotonic(), None
        self._own = self.backend.get_key_for_task(beginning())
        self._to_subscribe = {key for key in self._wanted if not self._is_own(key)}
        self._to_unsubscribe.clear()
        self._to_fetch.clear()
        self._work.set()
        self._subscriber = gevent.spawn(self._subscribe, reader)

    def drain_events(self, timeout: float | None = None) -> None:
        """Handle the next event, if one comes within ``timeout`` seconds.

        :raises Exception: the connection is lost, or Redis has been silent for two heartbeats.
        """
        assert self._reader is not None
        if self._lost:
            raise self._lost
        if self._reader.can_read(timeout=timeout or 1.0):
            self._heard = time.monotonic()
            self._handle(*self._reader.read_response())
        elif time.monotonic() - self._heard > 2 * self.backend.settings.heartbeat:
            raise ConnectionError("Redis is silent")

    def disconnect(self) -> None:
        """Drop the connections; the calls go on waiting."""
        self._hears_own = False
        if self._subscriber is not None:
            self._subscriber.kill(block=False)
            self._subscriber = None
        if self._reader is not None:
            self._reader.disconnect()
            self._reader = None

    close = disconnect

    def _is_own(self, key: bytes) -> bool:
        return key.startswith(self._own)

    def _handle(self, kind: bytes, channel: bytes, *rest: Any) -> None:
        """Handle an event (Redis, "Pub/sub", "Format of pushed messages")."""
        if kind == b"psubscribe":
            self._hears_own = True
            own = [key for key in self._wanted if self._is_own(key)]
            self._to_fetch.update(own)
            self._work.set()
            for key in own:
                self._when_listening.pop(key, _nothing)()
            return
        if kind == b"pmessage":  # with the pattern first
            channel, rest = rest[0], rest[1:]
        task_id = self._wanted.get(channel)
        if task_id is None:
            return
        if kind == b"subscribe":
            self._to_fetch.add(channel)
            self._work.set()
            self._when_listening.pop(channel, _nothing)()
        elif kind in (b"message", b"pmessage"):
            self.read(rest[0], _from_bytes, task_id)

    def _subscribe(self, reader: Connection) -> None:
        """Runs on the subscriber greenlet, the only one to write on the reader's connection."""
        try:
            reader.send_command("PSUBSCRIBE", SPECIAL.sub(rb"\\\g<0>", self._own) + b"*", check_health=False)
            while True:
                if not self._work.wait(self.backend.settings.heartbeat):
                    reader.send_command("PING", check_health=False)
                self._work.clear()
                self._send(reader, "SUBSCRIBE", self._to_subscribe)
                self._send(reader, "UNSUBSCRIBE", self._to_unsubscribe)
                self._fetch()
        except Exception as error:
            self._lost = error
        finally:
            reader.disconnect()  # wakes the drainer, which opens another one

    def _send(self, connection: Connection, command: str, keys: set[bytes]) -> None:
        if keys:
            batch = list(keys)
            keys.clear()
            connection.send_command(command, *batch, check_health=False)

    def _fetch(self) -> None:
        """Read the results that may have been published unheard, on a connection for this alone."""
        keys = [key for key in self._to_fetch if key in self._wanted]
        self._to_fetch.clear()
        if not keys:
            return
        connection = self.backend.connect()
        try:
            connection.send_command("MGET", *keys, check_health=False)
            found = connection.read_response()
        finally:
            connection.disconnect()
        for key, data in zip(keys, found, strict=True):
            task_id = self._wanted.get(key)
            if data is not None and task_id is not None:
                self.read(data, _from_bytes, task_id)


def _from_bytes(data: bytes) -> Any:
    return from_json(data.decode())


class ChannelBackend(ReplyBackend, celery_redis.RedisBackend):  # type: ignore[misc]
    """Celery's ``redis://``, whose subscriptions do not make the calling greenlet wait."""

    ResultConsumer = ChannelConsumer
    results_are_shared = True

    def forget_results(self, task_ids: Sequence[str]) -> None:
        """Remove stored results; waits for Redis.

        :raises RepliesUnavailable: Redis cannot be reached in time.
        """
        try:
            connection = self.connect()
            connection.send_command("DEL", *map(self.get_key_for_task, task_ids), check_health=False)
            connection.read_response()
            connection.disconnect()
        except RedisError as error:
            raise RepliesUnavailable("the stored results cannot be removed for now") from error

    def connect(self) -> Connection:
        """Open a connection without redis-py's silent reconnects, which would miss what came in between.

        :raises redis.RedisError: Redis cannot be reached in time.
        """
        timeout = self.settings.connect_timeout
        return connect_backend(self, socket_connect_timeout=timeout, socket_timeout=timeout)


class SentinelChannelBackend(ChannelBackend, celery_redis.SentinelBackend):  # type: ignore[misc]
    """The same for Celery's ``sentinel://``."""
