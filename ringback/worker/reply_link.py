"""A worker's replies, sent until the broker has confirmed them."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from contextlib import suppress
from threading import Event, Lock, Thread
from types import SimpleNamespace
from typing import Any

from amqp import Message
from amqp.exceptions import MessageNacked
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from amqp.spec import Basic
from celery import Celery
from kombu.exceptions import EncodeError, OperationalError

from ringback.wire import ConfirmTracker, ReconnectBackoff, keep_connected

#: Seconds after which a reply without a confirm makes the link start anew.
CONFIRM_TIMEOUT = 10.0

#: Bytes a second of a slow way to the broker. A large reply has so much longer to be written and confirmed.
SLOWEST = 1_000_000

#: Bytes to write at once. Each piece has the socket's time-out, so that a large reply takes as long as it needs.
PIECE = 262_144

#: AMQP 0-9-1, "reply-code": content-too-large and precondition-failed. RabbitMQ closes the channel with the second one
#: after a message over its ``max_message_size``.
NEVER_ACCEPTED = (311, 406)


#: How RabbitMQ says so (3.8 to 4.1).
SIZE_LIMIT = re.compile(r"larger than configured max size (\d+)")


class ReplyRefused(EncodeError):  # type: ignore[misc]
    """The broker or Redis will never take this reply, as when it is too large; the message has the sizes.

    Celery makes a task a failure whose result raises an ``EncodeError`` when it is stored.
    """


class Reply:
    """A reply on its way to the broker.

    :param routing_key: the name of the reply queue.
    """

    def __init__(self, routing_key: str, message: Message) -> None:
        self.arguments = dumps("Bssbb", (0, "", routing_key, False, False))
        self.message, self.refusal = message, ""
        self._settled = Event()

    def settle(self, refusal: str = "") -> None:
        """End the wait: the broker has confirmed this reply, or refuses it for ever."""
        self.refusal = refusal
        self._settled.set()

    def wait(self) -> None:
        """Wait until the broker has confirmed this reply.

        :raises ReplyRefused: it will never be taken.
        """
        self._settled.wait()
        if self.refusal:
            raise ReplyRefused(f"a reply of {len(self.message.body)} bytes is refused: {self.refusal}")


class ReplyLink:
    """Sends the replies of a process on one connection, a burst in one piece, each until the broker has confirmed it.

    Celery's way, a connection of a pool of ten for each reply until it is confirmed, costs a third of a worker's CPU
    time. Here are two threads, which are greenlets in a green worker: one writes, the other reads the confirms, and the
    tasks wait.

    When the broker closes the channel because of a reply, it does not say which. If it says its limit, the larger ones
    are given up; otherwise the unconfirmed ones are sent again one by one, and the one that is refused alone is given
    up.
    """

    def __init__(self, app: Celery) -> None:
        self._app, self._backoff = app, ReconnectBackoff()
        self._waiting: deque[Reply] = deque()
        self._limit: float = math.inf  # bytes of a reply, once the broker has told
        self._suspects: set[Reply] = set()  # sent one by one
        self._nacked: list[Reply] = []  # refused for now, and sent on the next connection after all others
        self._work, self._writing = Event(), Lock()
        Thread(target=keep_connected, args=(self._serve, self._backoff, "replies"), daemon=True).start()

    def send(self, reply: Reply) -> None:
        """Send a reply, and wait until the broker has confirmed it.

        :raises ReplyRefused: the broker will never take it.
        """
        self._waiting.append(reply)
        self._work.set()
        reply.wait()

    def _connect(self) -> Any:
        options = {"confirm_publish": False}
        connection = self._app.connection_for_write(
            heartbeat=self._app.conf.broker_heartbeat, transport_options=options
        )
        connection.ensure_connection(max_retries=len(connection.alt) or 1, interval_start=0)
        connection.connection.sock.settimeout(4)  # seconds, for each of the broker's answers
        return connection

    def _serve(self) -> None:
        connection = self._connect()
        unconfirmed: ConfirmTracker[Reply] = ConfirmTracker()
        writer = Thread(target=self._write, args=(connection, unconfirmed), daemon=True)
        try:
            self._expect_confirms(connection.default_channel, unconfirmed)
            writer.start()
            self._backoff.connected()
            while writer.is_alive():
                self._check(connection, unconfirmed)
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
        except connection.channel_errors as error:
            self._suspect(error, unconfirmed)
            raise
        except Exception:
            self._limit = math.inf  # the next broker may have another one
            raise
        finally:
            connection.collect()  # close() would wait for the broker's answer
            self._work.set()
            if writer.ident:
                writer.join()
            self._waiting.extendleft(reversed(unconfirmed.all()))
            self._waiting.extend(self._nacked)
            self._nacked.clear()
        raise OperationalError("the connection was lost")

    def _expect_confirms(self, channel: Any, unconfirmed: ConfirmTracker[Reply]) -> None:
        def on_ack(tag: int, multiple: bool) -> None:
            one_by_one = bool(self._suspects)
            for reply in unconfirmed.answered(tag, multiple):
                reply.settle()
                self._suspects.discard(reply)
            if one_by_one:
                self._work.set()  # for the next one

        def on_nack(tag: int, multiple: bool) -> None:
            # Its queue is full, or has no leader for a moment. The others are still to be confirmed on this connection,
            # or replies to a full queue would keep them all from their callers.
            self._nacked += unconfirmed.answered(tag, multiple)
            self._suspects.difference_update(self._nacked)

        channel.events["basic_ack"].add(on_ack)
        channel.events["basic_nack"].add(on_nack)
        channel.confirm_select()

    def _suspect(self, error: Any, unconfirmed: ConfirmTracker[Reply]) -> None:
        """Find the reply because of which the broker has closed the channel, or have them sent one by one."""
        with self._writing:
            if getattr(error, "code", None) not in NEVER_ACCEPTED:
                return  # such as a permission that is missing for all replies until it is given
            if told := SIZE_LIMIT.search(str(error)):
                self._limit = int(told[1])
            refused = unconfirmed.matching(lambda reply: self._is_too_large(reply) or len(unconfirmed) == 1)
            for reply in refused:
                self._give_up(reply, str(error))
            if not refused:
                self._suspects = set(unconfirmed)

    def _is_too_large(self, reply: Reply) -> bool:
        return len(reply.message.body) > self._limit

    def _give_up(self, reply: Reply, why: str) -> None:
        self._suspects.discard(reply)
        reply.settle(why)

    def _write(self, connection: Any, unconfirmed: ConfirmTracker[Reply]) -> None:
        raw, channel, burst = connection.connection, connection.default_channel, bytearray()
        write_frame = frame_writer(raw, SimpleNamespace(write=burst.extend))
        with suppress(*connection.connection_errors):
            while self._work.wait() and raw.connected:
                self._work.clear()
                with self._writing:
                    while self._waiting and not self._nacked and not (self._suspects and unconfirmed):
                        self._encode(self._waiting.popleft(), write_frame, channel.channel_id, burst, unconfirmed)
                    for start in range(0, len(burst), PIECE):
                        raw.transport.write(bytes(burst[start : start + PIECE]))
                    burst.clear()

    def _encode(
        self, reply: Reply, write_frame: Any, channel_id: int, burst: bytearray, unconfirmed: ConfirmTracker[Reply]
    ) -> None:
        start = len(burst)
        if self._is_too_large(reply):
            return self._give_up(reply, f"the broker takes up to {self._limit} bytes")
        try:
            write_frame(1, channel_id, Basic.Publish, reply.arguments, reply.message)
        except Exception as error:  # such as a task id of over 255 bytes; nothing has been sent
            del burst[start:]
            self._give_up(reply, repr(error))
        else:
            unconfirmed.sent(reply, time.monotonic() + len(burst) / SLOWEST)

    def _check(self, connection: Any, unconfirmed: ConfirmTracker[Reply]) -> None:
        with self._writing:
            connection.heartbeat_check()
            oldest = unconfirmed.oldest()
            if oldest is not None and oldest < time.monotonic() - CONFIRM_TIMEOUT:
                raise OperationalError(f"no confirm for {CONFIRM_TIMEOUT:g} s")
            if self._nacked and not unconfirmed:
                raise MessageNacked("a reply was refused for now")
