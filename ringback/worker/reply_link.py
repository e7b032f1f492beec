"""A worker's replies, sent until the broker has confirmed them."""

from __future__ import annotations

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
from kombu.exceptions import OperationalError

from ringback.wire import ConfirmTracker, ReconnectBackoff, keep_connected

#: Seconds after which a reply without a confirm makes the link start anew.
CONFIRM_TIMEOUT = 10.0


class Reply:
    """A reply on its way to the broker.

    :param routing_key: the name of the reply queue.
    """

    def __init__(self, routing_key: str, message: Message) -> None:
        self.arguments = dumps("Bssbb", (0, "", routing_key, False, False))
        self.message, self.confirmed = message, Event()


class ReplyLink:
    """Sends the replies of a process on one connection, a burst in one piece, each until the broker has confirmed it.

    Celery's way, a connection of a pool of ten for each reply until it is confirmed, costs a third of a worker's CPU
    time. Here are two threads, which are greenlets in a green worker: one writes, the other reads the confirms, and the
    tasks wait.
    """

    def __init__(self, app: Celery) -> None:
        self._app, self._backoff = app, ReconnectBackoff()
        self._waiting: deque[Reply] = deque()
        self._work, self._writing = Event(), Lock()
        Thread(target=keep_connected, args=(self._serve, self._backoff, "replies"), daemon=True).start()

    def send(self, reply: Reply) -> None:
        """Send a reply, and wait until the broker has confirmed it."""
        self._waiting.append(reply)
        self._work.set()
        reply.confirmed.wait()

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
        finally:
            connection.collect()  # close() would wait for the broker's answer
            self._work.set()
            if writer.ident:
                writer.join()
            self._waiting.extendleft(reversed(unconfirmed.all()))
        raise OperationalError("the connection was lost")

    def _expect_confirms(self, channel: Any, unconfirmed: ConfirmTracker[Reply]) -> None:
        def on_ack(tag: int, multiple: bool) -> None:
            for reply in unconfirmed.answered(tag, multiple):
                reply.confirmed.set()

        def on_nack(tag: int, multiple: bool) -> None:
            raise MessageNacked("a reply was refused")  # a queue may have no leader for a moment

        channel.events["basic_ack"].add(on_ack)
        channel.events["basic_nack"].add(on_nack)
        channel.confirm_select()

    def _write(self, connection: Any, unconfirmed: ConfirmTracker[Reply]) -> None:
        raw, channel, burst = connection.connection, connection.default_channel, bytearray()
        write_frame = frame_writer(raw, SimpleNamespace(write=burst.extend))
        with suppress(*connection.connection_errors):
            while self._work.wait() and raw.connected:
                self._work.clear()
                with self._writing:
                    while self._waiting:
                        reply = self._waiting.popleft()
                        unconfirmed.sent(reply, time.monotonic())
                        write_frame(1, channel.channel_id, Basic.Publish, reply.arguments, reply.message)
                    raw.transport.write(bytes(burst))
                    burst.clear()

    def _check(self, connection: Any, unconfirmed: ConfirmTracker[Reply]) -> None:
        with self._writing:
            connection.heartbeat_check()
            oldest = unconfirmed.oldest()
            if oldest is not None and oldest < time.monotonic() - CONFIRM_TIMEOUT:
                raise OperationalError(f"no confirm for {CONFIRM_TIMEOUT:g} s")
