"""Task messages on their way to the broker.

The loop puts them in, a publisher greenlet takes them out. Any greenlet may call any method: none of them switches
greenlets, so each is atomic.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from gevent.event import Event

from ringback.errors import OutboxFull


@dataclass(slots=True)
class Message:
    """One task message, serialised, with everything that its publish needs."""

    call_id: str
    body: bytes
    content_type: str
    content_encoding: str
    headers: dict[str, Any]
    properties: dict[str, Any]
    exchange: str
    routing_key: str
    priority: int | None
    declare: Iterable[Any]  #: kombu entities that must exist before it is published
    born: float = field(default_factory=time.monotonic)
    tries: int = 0

    @property
    def expires(self) -> float | None:
        """Seconds after which a worker must not start the task any more, as its caller gave them."""
        expiration = self.properties.get("expiration")
        return int(expiration) / 1000 if expiration is not None else None

    def expire_after(self, seconds: float) -> None:
        """Tell the broker and the worker to drop the task when ``seconds`` have passed.

        The broker counts the message's TTL by itself (RabbitMQ, "Time-To-Live"); the worker compares the header with
        its own clock (Celery task protocol 2, ``expires``).
        """
        self.properties["expiration"] = str(int(seconds * 1000))
        self.headers["expires"] = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


class Outbox:
    """A bounded queue of messages, first in, first out.

    :param limit: how many messages may be in it and in flight, that is not confirmed, at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self.filled = Event()
        self._messages: dict[str, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        """Add a message.

        :raises OutboxFull: the outbox holds its limit; the message was not added.
        """
        if len(self._messages) + self.in_flight >= self.limit:
            raise OutboxFull(f"{self.limit} messages are waiting for the broker", message.call_id)
        self._messages[message.call_id] = message
        self.filled.set()

    def put_back(self, messages: Iterable[Message]) -> None:
        """Return messages whose publish was cut short, ahead of all others; the limit does not apply."""
        self._messages = {message.call_id: message for message in messages} | self._messages
        if self._messages:
            self.filled.set()

    def find(self, call_id: str) -> Message | None:
        """The message of this call, if it has not left yet."""
        return self._messages.get(call_id)

    def take_all(self) -> list[Message]:
        """Take everything out, oldest first."""
        messages = list(self._messages.values())
        self._messages.clear()
        self.filled.clear()
        return messages

    def take_older(self, born_before: float) -> list[Message]:
        """Take out the messages made before that moment of ``time.monotonic``."""
        return [self._messages.pop(m.call_id) for m in list(self._messages.values()) if m.born < born_before]
