"""One connection to the message broker that cannot hang its owner.

No AMQP call of kombu or py-amqp has a deadline, not even ``close``, and killing the greenlet that waits in one leaves
the connection in pieces. So whoever grows impatient calls ``abort``: it shuts the raw socket, and every wait on it
ends with an ``OSError``. A link is written and read by the greenlets of its owner; ``abort`` may be called on any.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
from celery import Celery
from kombu import Connection

from ringback.settings import Settings


class Link:
    """An open connection with one channel.

    :param app: the Celery app whose broker it is; ``broker_url`` may list several, which are tried in turn.
    :param settings: its connect time-out and heartbeat hold.
    :param transport_options: go to the transport (for py-amqp, to its ``Connection``) beside the app's own.
    :raises kombu.exceptions.OperationalError: none of the brokers could be reached in time.
    """

    def __init__(self, app: Celery, settings: Settings, **transport_options: Any) -> None:
        self._connection: Connection = app.connection_for_write(
            heartbeat=settings.heartbeat,
            connect_timeout=settings.connect_timeout,
            transport_options={"confirm_publish": False, **transport_options},
        )
        self._connection.ensure_connection(
            max_retries=max(0, len(self._connection.alt) - 1), interval_start=0, interval_step=0
        )
        # Kept, since kombu's property would reconnect behind our back when the socket is lost.
        self._raw = self._connection.connection
        try:
            with self.within(settings.connect_timeout):
                self.channel = self._connection.channel()
        except BaseException:
            self.discard()
            raise

    @property
    def speaks_amqp(self) -> bool:
        """Whether the broker takes publisher confirms and heartbeats; ``memory://`` and others do not."""
        return bool(self._connection.transport.driver_type == "amqp")

    @property
    def channel_errors(self) -> tuple[type[BaseException], ...]:
        """What the transport raises when the broker has closed the channel, and only that."""
        return tuple(self._connection.channel_errors)

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What the transport raises when the connection or the channel is lost."""
        return tuple(self._connection.connection_errors + self._connection.channel_errors)

    def reopen(self) -> None:
        """Open another channel, the broker having closed this one."""
        self.channel = self._connection.channel()

    def drain(self, timeout: float) -> bool:
        """Handle the next event from the broker; false if none came within ``timeout`` seconds.

        :raises Exception: the connection is lost.
        """
        try:
            self._connection.transport.drain_events(self._raw, timeout=timeout)
        except TimeoutError:
            return False
        return True

    def beat(self) -> None:
        """Send a heartbeat if one is due. To be called once a second.

        :raises amqp.ConnectionForced: the broker has been silent for two heartbeats (AMQP 0-9-1, 4.2.7).
        """
        if self._connection.supports_heartbeats:
            self._connection.transport.heartbeat_check(self._raw, rate=2)

    def abort(self) -> None:
        """Shut the socket, so that whoever waits on it stops waiting."""
        sock = getattr(getattr(self._raw, "_transport", None), "sock", None)
        if sock is not None:
            with suppress(OSError):  # the peer was faster
                sock.shutdown(socket.SHUT_RDWR)

    def discard(self) -> None:
        """Free everything without a word to the broker."""
        self.abort()
        self._connection.collect()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Abort the link if the block takes longer."""
        watchdog = gevent.spawn_later(seconds, self.abort)
        try:
            yield
        finally:
            watchdog.kill(block=False)
