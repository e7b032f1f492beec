"""Which of the runs that have ended are still kept. Pure: standard library only, clock injected."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator


class Retention:
    """The ids of the runs that have ended, the oldest of which must go when time or memory is over.

    :param keep: seconds.
    :param most: bytes.
    :param clock: seconds that never go back.
    """

    def __init__(self, keep: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep, self._most, self._clock = keep, most, clock
        self._entries: OrderedDict[str, tuple[float, int]] = OrderedDict()  # a dict's first entry is slow to find
        self._bytes = 0

    def add(self, id: str, size: int) -> None:
        """A run has ended, which takes so many bytes."""
        self._entries[id] = self._clock(), size
        self._bytes += size

    def overdue(self) -> Iterator[str]:
        """Those that must go; each is out of the archive when it is handed out."""
        while self._entries:
            id = next(iter(self._entries))
            ended, size = self._entries[id]
            if ended > self._clock() - self._keep and self._bytes <= self._most:
                return
            del self._entries[id]
            self._bytes -= size
            yield id
