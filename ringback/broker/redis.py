"""A link to a Redis broker: kombu's keys and messages, but one connection, and a burst in one round trip.

A queue is a list for each step of priority, to which kombu pushes one message at a time, with several round trips where
an exchange is involved. Here a burst is one ``LPUSH`` for each list, and the answer, which is the list's length, is the
confirm. Redis, Sentinel, TLS, sockets of the file system and a prefix for all keys are kombu's, by its channel.

What Redis answers while it cannot take a message (memory is full, it is a replica, it is loading) may pass: such a
message is refused for now, and sent again on the next connection, which Sentinel may lead elsewhere.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from kombu.utils.json import dumps
from redis import Connection, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from ringback.broker.link import Depth, Link
from ringback.broker.message import Message
from ringback.wire.redis import passes

#: Seconds for which the bindings of an exchange are believed. Kombu reads them for each message.
BINDINGS_LIFETIME = 1.0

Command = Sequence[Any]


class RedisLink(Link):
    """One connection, which one greenlet uses at a time."""

    needs_reader = True

    def _prepare(self) -> None:
        options, transport = self._connection.transport_options, self._connection.transport
        options.setdefault("socket_timeout", self._settings.connect_timeout)
        options.setdefault("socket_connect_timeout", self._settings.connect_timeout)
        transport.Channel = type("LinkChannel", (_OneConnection, transport.Channel), {})
        self._redis: Connection | None = None
        self._turn = BoundedSemaphore()
        self._used_at, self._tag = time.monotonic(), 0
        self._burst: list[tuple[int, Message, list[Command]]] = []
        self._bindings: dict[str, tuple[float, Any]] = {}  # by exchange: when they were read, and kombu's table of them

    def _open(self) -> None:
        with self._kombu():
            self.channel = self._connection.channel()
        self._redis = self.channel.pool.make_connection()
        self._redis.connect()

    @property
    @contextmanager
    def cork(self) -> Iterator[None]:
        """Send what is written within ``with link.cork:`` in one piece, and hear what becomes of it."""
        yield
        self._flush()

    def write(self, message: Message) -> None:
        """Write a message, as ``Link.write``, within ``with link.cork:``."""
        self._tag += 1
        with self._turn:
            if not self._declared.issuperset(message.declare):
                with self._kombu():
                    self._declare(message)
            self._burst.append((self._tag, message, self._commands(message)))

    def depth(self, name: str) -> Depth:
        """Ask how long a queue is, as ``Link.depth``. On Redis each exists, and those who read it are not known."""
        with self._turn:
            steps = {self.channel._q_for_pri(name, step) for step in self.channel.priority_steps}
            lengths = self._exchange([("LLEN", self._key(key)) for key in steps])
        return Depth(sum(length for length in lengths if isinstance(length, int)), None)

    def drain(self, timeout: float) -> bool:
        """Wait, as ``Link.drain``: nothing comes that was not asked for."""
        gevent.sleep(timeout)
        return False

    def beat(self) -> None:
        """Ask Redis for a sign of life if the connection has not been used for a heartbeat.

        :raises redis.RedisError: it gives none in time.
        """
        if time.monotonic() - self._used_at > self._settings.heartbeat and not self._turn.locked():
            with self._turn:
                self._exchange([("PING",)])

    def abort(self) -> None:
        """Shut the socket, as ``Link.abort``."""
        sock = self._redis._sock if self._redis is not None else None
        if sock is not None:
            with suppress(OSError):  # the peer was faster
                sock.shutdown(socket.SHUT_RDWR)

    def _commands(self, message: Message) -> list[Command]:
        """The commands that publish a message: one for each list or topic to which it goes."""
        channel, exchange, routing_key = self.channel, message.exchange, message.routing_key
        prepared = self._prepared(message)
        channel._inplace_augment_message(prepared, exchange, routing_key)
        text = dumps(prepared)
        if exchange and channel.typeof(exchange).type == "fanout":
            return [("PUBLISH", self._key(channel._get_publish_topic(exchange, routing_key)), text)]
        priority = channel._get_message_priority(prepared, reverse=False)
        return [
            ("LPUSH", self._key(channel._q_for_pri(queue, priority)), text) for queue in self._destinations(message)
        ]

    def _destinations(self, message: Message) -> Sequence[str]:
        """The queues to which an exchange sends a message."""
        if not message.exchange:
            return [message.routing_key]
        read_at, table = self._bindings.get(message.exchange, (0.0, None))
        if time.monotonic() - read_at > BINDINGS_LIFETIME:
            with self._kombu():
                table = self.channel.get_table(message.exchange)
            self._bindings[message.exchange] = time.monotonic(), table
        kind = self.channel.typeof(message.exchange)
        return sorted(kind.lookup(table, message.exchange, message.routing_key, None))

    def _key(self, name: str) -> str:
        return f"{self.channel.global_keyprefix}{name}"

    def _flush(self) -> None:
        """Send the burst, and tell the listener what became of each message."""
        burst, self._burst = self._burst, []
        if not burst:
            return
        merged: dict[object, list[Any]] = {}  # what goes to one list is one command
        for tag, _, commands in burst:
            for command, key, text in commands:
                merged.setdefault(key if command == "LPUSH" else (key, tag), [command, key]).append(text)
        with self._turn:
            answers = dict(zip(merged, self._exchange(list(merged.values())), strict=True))
        for tag, message, commands in burst:
            places = [key if command == "LPUSH" else (key, tag) for command, key, _ in commands]
            self._tell(tag, message, [answers[place] for place in places])

    def _tell(self, tag: int, message: Message, answers: Sequence[Any]) -> None:
        """Tell the listener what became of a message."""
        listener = self._listener
        assert listener is not None
        refusals = [answer for answer in answers if isinstance(answer, ResponseError)]
        if not answers:
            listener.on_returned(message.call_id, f"the broker has no queue for {message.routing_key!r}")
        elif len(refusals) == len(answers):
            first = refusals[0]
            if passes(first):
                return listener.on_refused(tag, multiple=False)
            listener.on_returned(message.call_id, f"Redis does not take the message: {first}")
        listener.on_confirmed(tag, multiple=False)

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one piece; return the answers, of which some may be a ``ResponseError``."""
        assert self._redis is not None
        self._used_at = time.monotonic()
        self._redis.send_packed_command(self._redis.pack_commands(commands), check_health=False)
        return [self._answer(self._redis) for _ in commands]

    def _answer(self, connection: Connection) -> Any:
        try:
            return connection.read_response()
        except ResponseError as error:
            return error

    @contextmanager
    def _kombu(self) -> Iterator[None]:
        """Have kombu's channel do something, on connections that are closed afterwards."""
        yield
        self.channel.pool.disconnect()


class _OneConnection:
    """What a channel of kombu's is for a link: it has one pool, and makes no attempt again that was in vain."""

    pool: Any
    async_pool = property(lambda self: self.pool)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous=False)  # type: ignore[misc]
        return {**found, "retry": Retry(NoBackoff(), 0), "protocol": 2}
