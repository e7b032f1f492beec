"""Which published messages the broker has not confirmed yet (RabbitMQ, "Publisher Confirms").

Pure: no I/O. The owner of the channel tells the tracker what it has written and what the broker says; the tracker
answers which messages that concerns. Delivery tags count from 1 on each channel, so each channel has its own tracker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ConfirmTracker(Generic[Item]):
    """The unconfirmed messages of one channel, oldest first. Each message leaves the tracker exactly once."""

    def __init__(self) -> None:
        self._last_tag = 0
        self._unconfirmed: dict[int, tuple[float, Item]] = {}

    def __len__(self) -> int:
        return len(self._unconfirmed)

    def __iter__(self) -> Iterator[Item]:
        return (item for _, item in self._unconfirmed.values())

    def sent(self, item: Item, since: float) -> int:
        """Track a message that is about to be written.

        :param since: the moment from which its age counts, in seconds of any one clock.
        :returns: its delivery tag.
        """
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = since, item
        return self._last_tag

    def not_sent(self, tag: int) -> bool:
        """Forget the message that was tracked last: it was not written, so the broker does not count it.

        :returns: whether it was still tracked.
        :raises ValueError: another message was tracked after it.
        """
        if tag != self._last_tag:
            raise ValueError(f"delivery tag {tag} is not the last one, {self._last_tag}")
        self._last_tag -= 1
        return self._unconfirmed.pop(tag, None) is not None

    def answered(self, tag: int, multiple: bool) -> list[Item]:
        """Take out the messages that an ack or nack speaks of.

        :param multiple: whether it speaks of all messages up to this tag (AMQP 0-9-1, ``basic.ack``).
        """
        tags = list(takewhile(lambda other: other <= tag, self._unconfirmed)) if multiple else [tag]
        return self._take(tags)

    def matching(self, wanted: Callable[[Item], bool]) -> list[Item]:
        """Take out the messages that fit, such as the one that the broker returned."""
        return self._take([tag for tag, (_, item) in self._unconfirmed.items() if wanted(item)])

    def older(self, than: float) -> list[Item]:
        """Take out the messages whose age counts from before that moment."""
        return self._take([tag for tag, (since, _) in self._unconfirmed.items() if since < than])

    def oldest(self) -> float | None:
        """The moment from which the age of the oldest message counts; ``None`` if there is no message."""
        return next((since for since, _ in self._unconfirmed.values()), None)

    def all(self) -> list[Item]:
        """Take out every message: the channel is lost."""
        return self._take(list(self._unconfirmed))

    def _take(self, tags: list[int]) -> list[Item]:
        taken = (self._unconfirmed.pop(tag, None) for tag in tags)
        return [entry[1] for entry in taken if entry is not None]
