"""A link in confirm mode, and the messages that it owes.

Written on the publisher's greenlet only, read on its reader's only; ``expire`` and ``abort`` are for the watch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import gevent
from amqp import spec
from amqp.exceptions import MessageNacked
from celery import Celery
from gevent.event import Event

from ringback.broker.link import Link
from ringback.publish.outbox import Message, Outbox
from ringback.settings import Settings

logger = logging.getLogger(__name__)


class PublishLink:
    """Publishes an outbox with confirms (RabbitMQ, "Publisher Confirms").

    Transports other than AMQP have no confirms: there a message counts as confirmed when its publish returns.
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
        self._unconfirmed: dict[int, Message] = {}  # by delivery tag
        self._refused: list[Message] = []
        self._declared: set[Any] = set()
        self._tag = 0
        self._link = Link(app, settings, first, on_blocked=self._on_blocked, on_unblocked=self._writable.set)
        if self._link.speaks_amqp:
            self._expect_confirms(settings)

    @property
    def blocked(self) -> bool:
        """Whether the broker has asked to be spared (RabbitMQ, "Blocked Connection Notifications")."""
        return not self._writable.is_set() and not self._refused

    def abort(self) -> None:
        """End the link from any greenlet."""
        self._link.abort()

    def surrender(self) -> list[Message]:
        """Close the link; returns the messages that were not confirmed, oldest first."""
        self._link.discard()
        messages = [*self._refused, *self._unconfirmed.values(), *reversed(self._unwritten)]
        self._refused.clear()
        self._unconfirmed.clear()
        self._unwritten.clear()
        return messages

    def publish_until_lost(self) -> None:
        """Write whatever comes into the outbox; runs on the publisher greenlet until the link is lost.

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
        """Give up what waits for its confirm since before then, and then the link, unless the broker has blocked it."""
        late = [tag for tag, message in self._unconfirmed.items() if message.born < born_before]
        for tag in late:
            self._give_up(tag, "the broker did not confirm the message in time")
        if late and not self.blocked:
            self.abort()

    def _write(self, message: Message) -> None:
        channel = self._link.channel
        message.tries += 1
        self._tag += 1
        self._unconfirmed[self._tag] = message
        try:
            self._declare(message)
            raw = self._prepare(message)
            if self._link.speaks_amqp:
                # Not channel.basic_publish: it reads from the socket first, which is the reader's alone.
                arguments = (0, message.exchange, message.routing_key, True, False)  # mandatory
                channel.send_method(spec.Basic.Publish, "Bssbb", arguments, raw)
            else:
                channel.basic_publish(raw, exchange=message.exchange, routing_key=message.routing_key)
                self._confirm(self._tag)
        except self._link.errors:
            raise
        except Exception as error:  # a message that cannot be encoded must not take the others with it
            logger.exception("a message could not be written")
            self._give_up(self._tag, f"the message could not be written: {error}")
            self._tag -= 1  # the broker has seen nothing of it, and counts on

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
        # Without waiting for the broker's word (nowait): an error closes the channel, which loses the link.
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
        for tag in self._covered(delivery_tag, multiple):
            self._confirm(tag)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        # A channel that was opened while a quorum queue had no leader is refused everything until the dead node is
        # back (RabbitMQ 3.10, rabbit_fifo_client). So what is refused waits for the next link, and this one ends as
        # soon as nothing else is unconfirmed. It does not count as a try: the broker has not got it.
        self._writable.clear()
        for tag in self._covered(delivery_tag, multiple):
            message = self._unconfirmed.pop(tag, None)
            if message is not None:
                message.tries -= 1
                self._refused.append(message)

    def _on_return(self, error: Exception, exchange: str, routing_key: str, returned: Any) -> None:
        # The broker returns an unroutable message before it confirms it, so it is still among the unconfirmed.
        call_id = returned.properties.get("correlation_id")
        self._declared.clear()
        for tag in [tag for tag, message in self._unconfirmed.items() if message.call_id == call_id]:
            self._give_up(tag, f"the broker has no queue for {routing_key!r}")

    def _covered(self, delivery_tag: int, multiple: bool) -> list[int]:
        if not multiple:
            return [delivery_tag]
        return list(takewhile(lambda tag: tag <= delivery_tag, self._unconfirmed))  # they are in order

    def _settle(self, tag: int) -> Message | None:
        message = self._unconfirmed.pop(tag, None)
        if message is not None:
            self._outbox.settle()
        return message

    def _confirm(self, tag: int) -> None:
        message = self._settle(tag)
        if message is not None and message.on_confirmed is not None:
            message.on_confirmed()

    def _give_up(self, tag: int, why: str) -> None:
        message = self._settle(tag)
        if message is not None:
            self._fail(message, why)

    def _on_blocked(self, reason: str) -> None:
        logger.warning("the broker has blocked publishing: %s", reason)
        self._writable.clear()
