"""One connection to the message broker that cannot hang its owner.

No AMQP call of kombu or py-amqp has a deadline, not even ``close``, and killing the greenlet that waits in one leaves
the connection in pieces. So whoever grows impatient calls ``abort``: it shuts the raw socket, and every wait on it
ends with an ``OSError``. A link is written and read by the greenlets of its owner; ``abort`` may be called on any.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
from celery import Celery
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import parse_url

from ringback.errors import BadSetting
from ringback.settings import Settings
from ringback.wire.cork import Cork

#: What a queue may be: kept by one node of the broker, or by most of them.
QUEUE_TYPES = ("classic", "quorum")


def urls(app: Celery) -> list[str]:
    """The addresses of the app's broker. Kombu takes several nodes of a cluster as one string, between semicolons."""
    given = app.conf.broker_write_url or "amqp://"
    return given.split(";") if isinstance(given, str) else list(given)


def queue_arguments(app: Celery) -> dict[str, str]:
    """What the app's queues are declared with; nothing for classic ones, as they always were."""
    kind = _queue_type(app)
    return {} if kind == "classic" else {"x-queue-type": kind}


def check(app: Celery) -> None:
    """Look at what the app says of its broker.

    :raises BadSetting: it cannot be used.
    """
    for url in urls(app):
        if not _is_broker(url):
            shown = re.sub("//.*@", "//", url)  # without the password
            raise BadSetting(
                f"BROKER_URL: {shown!r} is no broker: expected amqp://user:password@host:5672/vhost,"
                " or several of that, with ';' between them"
            )
    if _queue_type(app) not in QUEUE_TYPES:
        raise BadSetting(f"TASK_QUEUE_TYPE={_queue_type(app)!r}: expected {' or '.join(QUEUE_TYPES)}")


def _is_broker(url: str) -> bool:
    scheme = url.partition("://")[0].partition("+")[0]
    if "amqp" in scheme:  # others have ports of their own fashion
        try:
            parse_url(url)
        except ValueError:
            return False
    return scheme in TRANSPORT_ALIASES


def _queue_type(app: Celery) -> str:
    return app.conf.get("task_default_queue_type") or "classic"  # before Celery 5.5 there is no such setting


class Link:
    """An open connection with one channel.

    :param app: the Celery app whose broker it is; ``broker_url`` may list several, which are tried in turn.
    :param settings: its connect time-out and heartbeat hold.
    :param first: which of several to try first, counted round and round: an owner who counts its attempts leaves a
        broker behind that takes connections and does no work.
    :param transport_options: go to the transport (for py-amqp, to its ``Connection``) beside the app's own.
    :raises kombu.exceptions.OperationalError: none of the brokers could be reached in time.
    """

    def __init__(self, app: Celery, settings: Settings, first: int = 0, **transport_options: Any) -> None:
        self.cork = Cork()  #: for a burst of writes
        brokers = urls(app)
        turn = first % len(brokers)
        self._connection: Connection = app.connection_for_write(
            ";".join(brokers[turn:] + brokers[:turn]),
            heartbeat=settings.heartbeat,
            connect_timeout=settings.connect_timeout,
            transport_options={"confirm_publish": False, **transport_options},
        )
        if self._connection.transport.driver_name == "py-amqp":
            self._connection.transport_options["frame_writer"] = self.cork.frame_writer
        self._connection.ensure_connection(max_retries=len(brokers) - 1, interval_start=0, interval_step=0)
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
