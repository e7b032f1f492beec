"""One connection to the message broker that cannot hang its owner.

No AMQP call of kombu or py-amqp has a deadline, not even ``close``, and killing the greenlet that waits in one leaves
the connection in pieces. So a wait that takes too long is ended by ``abort``: it shuts the raw socket, and every wait
on it raises an ``OSError``. A link is written and read by its owner's greenlets; any greenlet may call ``abort``.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
from celery import Celery
from kombu import Connection

from ringback.broker.config import broker_urls
from ringback.errors import UnsupportedVersion
from ringback.settings import Settings
from ringback.wire import Cork

logger = logging.getLogger(__name__)


class Link:
    """An open connection with one channel.

    :param app: the Celery app whose broker it is; ``broker_url`` may list several nodes, which are tried in turn.
    :param settings: for its connect time-out and heartbeat.
    :param first: the number of the node to try first, modulo their count. An owner that counts its attempts leaves a
        node behind that accepts connections and does no work.
    :param transport_options: for the transport (with py-amqp, its ``Connection``), beside the app's own.
    :raises kombu.exceptions.OperationalError: no node could be reached in time.
    :raises UnsupportedVersion: the connection has no socket to shut, so it could hang its owner.
    """

    def __init__(self, app: Celery, settings: Settings, first: int = 0, **transport_options: Any) -> None:
        self.cork = Cork()  #: ``with link.cork:`` sends a burst of writes in one piece
        brokers = broker_urls(app)
        turn = first % len(brokers)
        self._connection: Connection = app.connection_for_write(
            ";".join(brokers[turn:] + brokers[:turn]),
            heartbeat=settings.heartbeat,
            connect_timeout=settings.connect_timeout,
            transport_options={"confirm_publish": False, **transport_options},
        )
        self._limit_waits(settings.connect_timeout)
        self._connection.ensure_connection(max_retries=len(brokers) - 1, interval_start=0, interval_step=0)
        # Kept, since kombu's property would reconnect without our knowledge when the socket is lost.
        self._raw = self._connection.connection
        try:
            self._check_socket()
            with self.within(settings.connect_timeout):
                self.channel = self._connection.channel()
        except BaseException:
            self.discard()
            raise

    @property
    def speaks_amqp(self) -> bool:
        """Whether the broker offers publisher confirms and heartbeats; ``memory://`` and others do not."""
        return bool(self._connection.transport.driver_type == "amqp")

    @property
    def speaks_redis(self) -> bool:
        """Whether the broker is Redis."""
        return bool(self._connection.transport.driver_type == "redis")

    @property
    def channel_errors(self) -> tuple[type[BaseException], ...]:
        """What the transport raises when the broker has closed the channel and kept the connection."""
        return tuple(self._connection.channel_errors)

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What the transport raises when the connection or the channel is lost."""
        return tuple(self._connection.connection_errors + self._connection.channel_errors)

    def reopen(self) -> None:
        """Open another channel after the broker has closed this one."""
        self.channel = self._connection.channel()

    def drain(self, timeout: float) -> bool:
        """Handle the next event from the broker; returns false if none came within ``timeout`` seconds.

        :raises Exception: the connection is lost.
        """
        try:
            self._connection.transport.drain_events(self._raw, timeout=timeout)
        except TimeoutError:
            return False
        return True

    def beat(self) -> None:
        """Send a heartbeat if one is due. The owner calls this once a second.

        :raises amqp.ConnectionForced: the broker has been silent for two heartbeats (AMQP 0-9-1, 4.2.7).
        """
        if self._connection.supports_heartbeats:
            self._connection.transport.heartbeat_check(self._raw, rate=2)

    def abort(self) -> None:
        """Shut the socket, so that every greenlet that waits on it gets an error."""
        if self.cork.socket is not None:
            with suppress(OSError):  # the peer was faster
                # Not its own method: over TLS that forgets the session, which py-amqp ends when the link is discarded.
                socket.socket.shutdown(self.cork.socket, socket.SHUT_RDWR)

    def discard(self) -> None:
        """Free the connection without a word to the broker."""
        self.abort()
        self._connection.collect()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Abort the link if the block takes longer than so many seconds."""
        watchdog = gevent.spawn_later(seconds, self.abort)
        try:
            yield
        finally:
            watchdog.kill(block=False)

    @property
    def _is_py_amqp(self) -> bool:
        return bool(self._connection.transport.driver_name == "py-amqp")

    def _limit_waits(self, seconds: float) -> None:
        """Make sure that a wait for this broker ends: by ``abort``, or by the time-outs of the transport itself."""
        options, transport = self._connection.transport_options, self._connection.transport
        if self._is_py_amqp:
            options["frame_writer"] = self.cork.frame_writer
        elif self.speaks_redis:
            options.setdefault("socket_timeout", seconds)
            options.setdefault("socket_connect_timeout", seconds)
        elif transport.driver_type != "memory":
            logger.warning(
                "a wait for a broker of type %s has no limit: use amqp:// or redis://", transport.driver_type
            )

    def _check_socket(self) -> None:
        if self._is_py_amqp and self.cork.socket is None:
            raise UnsupportedVersion("this py-amqp does not call its frame_writer, so its connections have no deadline")
