"""The last events of a run, as a client can follow them again. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: The last events that are kept: so many, of so many bytes together. More would let a talkative task fill the memory.
EVENTS_KEPT = 1000
BYTES_KEPT = 2**20


class RunEvent(NamedTuple):
    """Something that happened to a run, as a client follows it.

    The event ``result`` has no data of its own: it stands for the whole run.
    """

    number: int
    name: str  #: state, progress, member or result
    data: str  #: JSON


class EventLog:
    """Events, numbered from 1; the oldest leave when they are too many or too long."""

    __slots__ = "_events", "size"

    def __init__(self) -> None:
        self._events: deque[RunEvent] = deque()
        self.size = 0  #: bytes of their data

    def __iter__(self) -> Iterator[RunEvent]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    @property
    def last(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._events[-1].number if self._events else 0

    def add(self, name: str, data: str) -> None:
        """Add an event."""
        self._events.append(RunEvent(self.last + 1, name, data))
        self.size += len(data)
        while len(self._events) > EVENTS_KEPT or (self.size > BYTES_KEPT and len(self._events) > 1):
            self.size -= len(self._events.popleft().data)

    def after(self, number: int) -> list[RunEvent]:
        """The events that came after the one with this number."""
        return [event for event in self._events if event.number > number]

    def replace(self, events: Sequence[RunEvent]) -> None:
        """Take these events instead, which another process has recorded."""
        self._events, self.size = deque(events), sum(len(event.data) for event in events)
