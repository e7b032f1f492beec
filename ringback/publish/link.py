"""A link in confirm mode, and the messages that were written on it and are not confirmed.

The publisher's greenlet writes, its reader greenlet reads; ``expire`` and ``abort`` are for the watch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
from amqp import spec
from amqp.exceptions import MessageNacked
from celery import Celery
from gevent.event import Event

from ringback.broker import Link
from ringback.publish.message import Message
from ringback.publish.outbox import Outbox
from ringback.settings import Settings
from ringback.wire import ConfirmTracker

logger = logging.getLogger(__name__)


class PublishLink:
    """Publishes an outbox with confirms (RabbitMQ, "Publisher Confirms").

    Transports other than AMQP have no confirms: there a message counts as confirmed when its publish returns.

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
        self._declared: set[Any] = set()
        self._link = Link(app, settings, first, on_blocked=self._on_blocked, on_unblocked=self._writable.set)
        if self._link.speaks_amqp:
            self._expect_confirms(settings)

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
            self._declare(message)
            raw = self._prepare(message)
            if self._link.speaks_amqp:
                # Not channel.basic_publish: it reads from the socket first, which only the reader may do.
                arguments = (0, message.exchange, message.routing_key, True, False)  # mandatory
                self._link.channel.send_method(spec.Basic.Publish, "Bssbb", arguments, raw)
            else:
                self._link.channel.basic_publish(raw, exchange=message.exchange, routing_key=message.routing_key)
                self._on_ack(tag, multiple=False)
        except self._link.errors:
            raise
        except Exception as error:  # a message that cannot be encoded must not take the others with it
            logger.exception("a message could not be written")
            if self._unconfirmed.not_sent(tag):
                self._give_up(message, f"the message could not be written: {error}")

    def _prepare(self, message: Message) -> Any:
        if message.encode is not None and self._link.speaks_amqp:
            return message.encode(message)
        return self._link.channel.prepare_message(
            message.body,
            message.priority,
            message.content_type,
            message.content_encoding,
            message.headers,
            message.properties,
        )

    def _declare(self, message: Message) -> None:
        # Without waiting for the broker's answer (nowait): an error closes the channel, which loses the link.
        for entity in message.declare:
            if entity not in self._declared:
                entity(self._link.channel).declare(nowait=self._link.speaks_amqp)
                self._declared.add(entity)

    def _expect_confirms(self, settings: Settings) -> None:
        channel = self._link.channel
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        with self._link.within(settings.connect_timeout):
            channel.confirm_select()
        gevent.spawn(self._read)

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

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        for message in self._unconfirmed.answered(delivery_tag, multiple):
            self._outbox.release()
            if message.on_confirmed is not None:
                message.on_confirmed()

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        # A channel that was opened while a quorum queue had no leader is refused everything until the dead node is
        # back (RabbitMQ 3.10, rabbit_fifo_client). So what is refused waits for the next link, and this one ends as
        # soon as nothing else is unconfirmed. It does not count as a try: the broker has not got it.
        self._writable.clear()
        for message in self._unconfirmed.answered(delivery_tag, multiple):
            message.tries -= 1
            self._refused.append(message)

    def _on_return(self, error: Exception, exchange: str, routing_key: str, returned: Any) -> None:
        # The broker returns an unroutable message before it confirms it, so it is still among the unconfirmed.
        call_id = returned.properties.get("correlation_id")
        self._declared.clear()
        for message in self._unconfirmed.matching(lambda message: message.call_id == call_id):
            self._give_up(message, f"the broker has no queue for {routing_key!r}")

    def _give_up(self, message: Message, why: str) -> None:
        self._outbox.release()
        self._fail(message, why)

    def _on_blocked(self, reason: str) -> None:
        logger.warning("the broker has blocked publishing: %s", reason)
        self._writable.clear()
