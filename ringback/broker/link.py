"""What the other wings know of a broker: a connection that takes messages, tells how long queues are, and cannot hang.

Each kind of broker has a module with a ``Link`` of its own; ``kinds`` finds the one for an app. No call of kombu,
py-amqp or redis-py may take for ever, not even ``close``, and killing the greenlet that waits in one leaves the
connection in pieces. So a wait that takes too long is ended by ``abort``: it shuts the raw socket, and every wait on it
raises an error. A link is written and read by its owner's greenlets; any greenlet may call ``abort``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
from kombu import Connection

from ringback.broker.message import Message
from ringback.settings import Settings


@dataclass(frozen=True, slots=True)
class Depth:
    """One queue, as the broker described it."""

    messages: int  #: that wait; without those that a worker has taken or prefetched
    consumers: int | None  #: ``None`` where the broker does not tell
    kept_back: int = 0  #: calls that this process has not sent to it yet
    expected_wait: float = 0.0  #: seconds until a call behind all others would be answered


class Listener(Protocol):
    """Who publishes on a link, and hears what becomes of its messages, in the order in which it wrote them."""

    def on_confirmed(self, tag: int, multiple: bool) -> None:
        """The broker has the message of this number, counted from 1, or with ``multiple`` all up to it."""

    def on_refused(self, tag: int, multiple: bool) -> None:
        """The broker does not take these messages for now."""

    def on_returned(self, call_id: str, why: str) -> None:
        """The broker will never take the message of this call; that is said before it counts as confirmed."""

    def on_blocked(self, why: str) -> None:
        """The broker has told its publishers to wait."""

    def on_unblocked(self) -> None:
        """They may go on."""


class Link(ABC):
    """An open connection to the broker.

    :param connection: of kombu, not open yet.
    :param settings: for the connect time-out and the heartbeat.
    :param listener: who publishes on it; ``None`` if nobody does.
    :raises kombu.exceptions.OperationalError: no node could be reached in time.
    """

    needs_reader = False  #: whether a greenlet of the owner is to call ``drain`` and ``beat`` all the time
    channel: Any  #: of kombu's transport
    acknowledges = False  #: whether the broker keeps a message until its consumer acknowledges it

    def __init__(self, connection: Connection, settings: Settings, listener: Listener | None) -> None:
        self._connection, self._settings, self._listener = connection, settings, listener
        self._declared: set[Any] = set()
        self._prepare()
        others = max(0, len(connection.alt) - 1)
        connection.ensure_connection(max_retries=others, interval_start=0, interval_step=0)
        # Kept, since kombu's property would reconnect without our knowledge when the socket is lost.
        self._raw = connection.connection
        try:
            with self.within(settings.connect_timeout):
                self._open()
        except BaseException:
            self.discard()
            raise

    @property
    def cork(self) -> AbstractContextManager[Any]:
        """``with link.cork:`` sends what is written within it in one piece."""
        return nullcontext()

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What is raised when the connection or the channel is lost."""
        return tuple(self._connection.connection_errors + self._connection.channel_errors)

    @abstractmethod
    def write(self, message: Message) -> None:
        """Write a message; what becomes of it, the listener hears.

        :raises Exception: one of ``errors`` if the connection is lost; another one if the message cannot be encoded.
        """

    @abstractmethod
    def depth(self, name: str) -> Depth | None:
        """Ask how long a queue is; ``None`` if there is none of this name.

        :raises Exception: the connection is lost.
        """

    def drain(self, timeout: float) -> bool:
        """Handle the next event from the broker; returns false if none came within ``timeout`` seconds.

        :raises Exception: the connection is lost.
        """
        try:
            self._connection.transport.drain_events(self._raw, timeout=timeout)
        except TimeoutError:
            return False
        return True

    @abstractmethod
    def beat(self) -> None:
        """Make sure that the broker is there. The owner calls this once a second.

        :raises Exception: it has been silent for two heartbeats.
        """

    @abstractmethod
    def abort(self) -> None:
        """Shut the socket, so that every greenlet that waits on it gets an error."""

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

    @abstractmethod
    def _prepare(self) -> None:
        """Set what the connection needs before it is opened."""

    @abstractmethod
    def _open(self) -> None:
        """Open a channel on the connection."""

    def _declare(self, message: Message, **options: Any) -> None:
        """Have what a message needs exist: once on each link."""
        for entity in message.declare:
            if entity not in self._declared:
                entity(self.channel).declare(**options)
                self._declared.add(entity)

    def _prepared(self, message: Message) -> Any:
        """A message as kombu's transport makes it."""
        return self.channel.prepare_message(
            message.body,
            message.priority,
            message.content_type,
            message.content_encoding,
            message.headers,
            message.properties.copy(),  # to which some transports add
        )
