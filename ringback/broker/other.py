"""A link to any other broker that kombu has a transport for: the one inside a process (``memory://``), SQS and others.

They have no confirms: a message counts as confirmed when its publish returns. All but the first can hang their owner,
since nothing of theirs ends a wait.
"""

from __future__ import annotations

import logging
from itertools import count
from typing import ClassVar

from ringback.broker.link import Depth, Link
from ringback.broker.message import Message

logger = logging.getLogger(__name__)


#: What is not promised of these brokers.
WARNING = (
    "a broker of type %s: a call counts as published when kombu says so, a wait for the broker has no limit, and a call"
    " is lost with its connection; amqp:// and redis:// have none of that"
)


class OtherLink(Link):
    """A connection with one channel."""

    _warned: ClassVar[set[str]] = set()  # the types for which the warning has been logged

    def _prepare(self) -> None:
        kind = self._connection.transport.driver_type
        if kind != "memory" and kind not in self._warned:
            self._warned.add(kind)
            logger.warning(WARNING, kind)

    def _open(self) -> None:
        self.channel, self._tags = self._connection.channel(), count(1)

    def write(self, message: Message) -> None:
        """Publish a message, as ``Link.write``."""
        tag = next(self._tags)
        self._declare(message)
        self.channel.basic_publish(self._prepared(message), exchange=message.exchange, routing_key=message.routing_key)
        assert self._listener is not None
        self._listener.on_confirmed(tag, multiple=False)

    def depth(self, name: str) -> Depth | None:
        """Ask how long a queue is, as ``Link.depth``."""
        try:
            _, messages, _ = self.channel.queue_declare(name, passive=True)
        except self._connection.channel_errors:
            self.channel = self._connection.channel()
            return None
        return Depth(messages, None)

    def beat(self) -> None:
        """Do nothing: none of these brokers has heartbeats."""

    def abort(self) -> None:
        """Do nothing: there is no socket that could be shut."""
