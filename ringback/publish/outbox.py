"""Messages on their way to the broker.

The loop puts them in, a publisher greenlet takes them out. Any greenlet may call any method: none of them switches
greenlets, so each is atomic.
"""

from __future__ import annotations

from itertools import takewhile

from gevent.event import Event

from ringback.broker import Message
from ringback.errors import OutboxFull


class Outbox:
    """A bounded queue of messages, first in, first out. A message that is taken stays counted until it is released.

    :param limit: how many messages there may be: reserved, waiting, and taken but not released.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0  #: messages that are taken and not released
        self.filled = Event()  #: set while there is something to take
        self.done = Event()  #: set while nothing waits and nothing is in flight
        self.done.set()
        self._reserved = 0
        self._messages: dict[str, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def reserve(self, call_id: str) -> None:
        """Reserve the place of a message that is not complete yet. ``put`` takes the place, ``cancel`` frees it.

        :raises OutboxFull: the outbox holds its limit; no place is reserved.
        """
        if not self.reserve_if_room():
            raise OutboxFull(f"{self.limit} messages are waiting for the broker", call_id)

    def reserve_if_room(self) -> bool:
        """Reserve a place as ``reserve`` does; returns false if the outbox holds its limit."""
        if self._reserved + len(self._messages) + self.in_flight >= self.limit:
            return False
        self._reserved += 1
        return True

    def cancel(self) -> None:
        """Free the place that was reserved for a message."""
        self._reserved -= 1

    def put(self, message: Message) -> None:
        """Put a complete message into its reserved place."""
        self._reserved -= 1
        self._messages[message.call_id] = message
        self.filled.set()
        self.done.clear()

    def put_if_room(self, message: Message) -> bool:
        """Put a complete message in; returns false if there is no place."""
        if not self.reserve_if_room():
            return False
        self.put(message)
        return True

    def withdraw(self, call_id: str) -> bool:
        """Take the message of this call out for good; returns false if it has left."""
        withdrawn = self._messages.pop(call_id, None)
        self._check_done()
        return withdrawn is not None

    def take_all(self) -> list[Message]:
        """Take everything out, oldest first. Each message is in flight until it is released or put back."""
        messages = list(self._messages.values())
        self._messages.clear()
        self.filled.clear()
        self.in_flight += len(messages)
        return messages

    def take_older(self, born_before: float) -> list[Message]:
        """Take out for good the messages made before that moment of ``time.monotonic``."""
        old = list(takewhile(lambda message: message.born < born_before, self._messages.values()))
        for message in old:
            del self._messages[message.call_id]
        self._check_done()
        return old

    def put_back(self, messages: list[Message]) -> None:
        """Return messages that were taken and not published, ahead of all others."""
        self.in_flight -= len(messages)
        self._messages = {message.call_id: message for message in messages} | self._messages
        if self._messages:
            self.filled.set()

    def release(self) -> None:
        """Count one message less in flight: it is confirmed, or given up."""
        self.in_flight -= 1
        self._check_done()

    def _check_done(self) -> None:
        if not self._messages and not self.in_flight:
            self.done.set()
