"""A link, and the messages that were written on it and are not confirmed.

The publisher's greenlet writes, its reader greenlet reads; ``expire`` and ``abort`` are for the watch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
from amqp.exceptions import MessageNacked
from celery import Celery
from gevent.event import Event

from ringback.broker import Message, connect
from ringback.publish.outbox import Outbox
from ringback.settings import Settings
from ringback.wire import ConfirmTracker

logger = logging.getLogger(__name__)


class PublishLink:
    """Publishes an outbox, and waits for the confirm of each message: it is the link's listener.

    :param fail: called with a message that is given up, and why.
    :param first: the number of the broker to try first.
    """

    def __init__(
        self, app: Celery, outbox: Outbox, fail: Callable[[Message, str], None], settings: Settings, first: int
    ) -> None:
        self._outbox = outbox
        self._fail = fail
        self._lost: Exception | None = None
        self._writable = Event()
        self._writable.set()
        self._unwritten: list[Message] = []  # newest first
        self._unconfirmed: ConfirmTracker[Message] = ConfirmTracker()
        self._refused: list[Message] = []
        self._link = connect(app, settings, first, self)
        if self._link.needs_reader:
            gevent.spawn(self._read)

    @property
    def blocked(self) -> bool:
        """Whether the broker has told its publishers to wait (RabbitMQ, "Blocked Connection Notifications")."""
        return not self._writable.is_set() and not self._refused

    def abort(self) -> None:
        """End the link from any greenlet."""
        self._link.abort()

    def surrender(self) -> list[Message]:
        """Close the link; returns the messages that were not confirmed, oldest first."""
        self._link.discard()
        messages = [*self._refused, *self._unconfirmed.all(), *reversed(self._unwritten)]
        self._refused.clear()
        self._unwritten.clear()
        return messages

    def publish_until_lost(self) -> None:
        """Write the messages of the outbox, on the publisher greenlet, until the link is lost.

        :raises Exception: how it was lost.
        """
        while True:
            self._outbox.filled.wait()
            self._writable.wait()
            if self._lost:
                raise self._lost
            self._unwritten = self._outbox.take_all()[::-1] + self._unwritten
            with self._link.cork:
                while self._unwritten and not self._refused:
                    self._write(self._unwritten.pop())

    def expire(self, born_before: float) -> None:
        """Give up the messages made before then, and the link that did not confirm them unless it is blocked."""
        late = self._unconfirmed.older(born_before)
        for message in late:
            self._give_up(message, "the broker did not confirm the message in time")
        if late and not self.blocked:
            self.abort()

    def _write(self, message: Message) -> None:
        message.tries += 1
        tag = self._unconfirmed.sent(message, message.born)
        try:
            self._link.write(message)
        except self._link.errors:
            raise
        except Exception as error:  # a message that cannot be encoded must not take the others with it
            logger.exception("a message could not be written")
            if self._unconfirmed.not_sent(tag):
                self._give_up(message, f"the message could not be written: {error}")

    def _read(self) -> None:
        try:
            while self._unconfirmed or not self._refused:
                if not self._link.drain(timeout=1.0):
                    self._link.beat()
            raise MessageNacked("the broker has refused a message")
        except Exception as error:
            self._lost = error
            self._writable.set()
            self._outbox.filled.set()

    # What becomes of the messages, as the link tells its listener.

    def on_confirmed(self, tag: int, multiple: bool) -> None:
        """Release messages that the broker has."""
        for message in self._unconfirmed.answered(tag, multiple):
            self._outbox.release()
            if message.on_confirmed is not None:
                message.on_confirmed()

    def on_refused(self, tag: int, multiple: bool) -> None:
        """Keep messages for the next link that the broker does not take for now."""
        # A channel that was opened while a quorum queue had no leader is refused everything until the dead node is
        # back (RabbitMQ 3.10, rabbit_fifo_client). So what is refused waits for the next link, and this one ends as
        # soon as nothing else is unconfirmed. It does not count as a try: the broker has not got it.
        self._writable.clear()
        for message in self._unconfirmed.answered(tag, multiple):
            message.tries -= 1
            self._refused.append(message)

    def on_returned(self, call_id: str, why: str) -> None:
        """Give up the message of this call, which the broker will never take."""
        for message in self._unconfirmed.matching(lambda message: message.call_id == call_id):
            self._give_up(message, why)

    def on_blocked(self, why: str) -> None:
        """Wait, because the broker asks for it."""
        logger.warning("the broker has blocked publishing: %s", why)
        self._writable.clear()

    def on_unblocked(self) -> None:
        """Go on."""
        self._writable.set()

    def _give_up(self, message: Message, why: str) -> None:
        self._outbox.release()
        self._fail(message, why)
