"""Task messages on their way to the broker.

The loop puts them in, a publisher greenlet takes them out. Any greenlet may call any method: none of them switches
greenlets, so each is atomic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import takewhile
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
    on_confirmed: Callable[[], object] | None = None  #: called on the publisher's reader greenlet
    encode: Callable[[Message], Any] | None = None  #: for AMQP, if somebody knows a shorter way than the transport

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
    """A bounded queue of messages, first in, first out, and the count of those that are taken but not done with.

    :param limit: how many messages there may be, both kinds together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self.filled = Event()  #: set while there is something to take
        self.done = Event()  #: set while there is nothing left to do
        self.done.set()
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
        self.done.clear()

    def find(self, call_id: str) -> Message | None:
        """The message of this call, if it has not left yet."""
        return self._messages.get(call_id)

    def withdraw(self, call_id: str) -> bool:
        """Take the message of this call out for good; false if it has left."""
        withdrawn = self._messages.pop(call_id, None)
        self._check_done()
        return withdrawn is not None

    def take_all(self) -> list[Message]:
        """Take everything out, oldest first. Each message is in flight until it is ``settle``d or ``put_back``."""
        messages = list(self._messages.values())
        self._messages.clear()
        self.filled.clear()
        self.in_flight += len(messages)
        return messages

    def take_older(self, born_before: float) -> list[Message]:
        """Give up the messages made before that moment of ``time.monotonic``."""
        old = list(takewhile(lambda message: message.born < born_before, self._messages.values()))
        for message in old:
            del self._messages[message.call_id]
        self._check_done()
        return old

    def put_back(self, messages: list[Message]) -> None:
        """Return messages whose publish was cut short, ahead of all others."""
        self.in_flight -= len(messages)
        self._messages = {message.call_id: message for message in messages} | self._messages
        if self._messages:
            self.filled.set()

    def settle(self) -> None:
        """One message is not in flight any more: it is confirmed, or given up."""
        self.in_flight -= 1
        self._check_done()

    def _check_done(self) -> None:
        if not self._messages and not self.in_flight:
            self.done.set()
