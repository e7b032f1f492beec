"""How long a run that has ended is kept, and the keys of those that are not kept any more. Pure; clock injected."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

#: Tombstones that one process keeps, at about 200 bytes each.
TOMBSTONES_KEPT = 50_000


class Retention:
    """The sizes of all runs; the oldest that have ended leave when their time is over or the memory is used up.

    :param keep: seconds for each run.
    :param max_bytes: for all runs together, those included that go on.
    :param clock: seconds that never go back.
    """

    def __init__(self, keep: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep, self._max_bytes, self._clock = keep, max_bytes, clock
        self._sizes: dict[str, int] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()  # a dict's first entry is slow to find
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def resize(self, key: str, size: int) -> None:
        """Note how many bytes a run takes now."""
        self._bytes += size - self._sizes.get(key, 0)
        self._sizes[key] = size

    def add(self, key: str, size: int) -> None:
        """Note that a run has ended now, and takes so many bytes."""
        self.resize(key, size)
        self._ended[key] = self._clock()

    def remove(self, key: str) -> None:
        """Take out a run, ended or not."""
        self._bytes -= self._sizes.pop(key, 0)
        self._ended.pop(key, None)

    def overdue(self) -> Iterator[str]:
        """Take out the runs that must go, one by one."""
        while self._ended:
            key, ended = next(iter(self._ended.items()))
            if ended > self._clock() - self._keep and self._bytes <= self._max_bytes:
                return
            self.remove(key)
            yield key


class Tombstones:
    """The keys of runs that existed and are not kept any more. The oldest leave first."""

    def __init__(self, kept: int = TOMBSTONES_KEPT) -> None:
        self._kept = kept
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Add the key of a run that is dropped now."""
        self._keys[key] = None
        while len(self._keys) > self._kept:
            self._keys.popitem(last=False)
