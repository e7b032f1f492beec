"""How long a run that has ended is kept, and the ids of those that are not kept any more. Pure; clock injected."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

#: Tombstones that one process keeps, at about 200 bytes each.
TOMBSTONES_KEPT = 50_000


class Retention:
    """The ids of the runs that have ended; the oldest leave when their time is over or the memory is used up.

    :param keep: seconds for each run.
    :param max_bytes: for all runs together.
    :param clock: seconds that never go back.
    """

    def __init__(self, keep: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep, self._max_bytes, self._clock = keep, max_bytes, clock
        self._entries: OrderedDict[str, tuple[float, int]] = OrderedDict()  # a dict's first entry is slow to find
        self._bytes = 0

    def add(self, run_id: str, size: int) -> None:
        """Add a run that has ended now and takes so many bytes."""
        self._entries[run_id] = self._clock(), size
        self._bytes += size

    def overdue(self) -> Iterator[str]:
        """Take out the runs that must go, one by one."""
        while self._entries:
            run_id = next(iter(self._entries))
            ended, size = self._entries[run_id]
            if ended > self._clock() - self._keep and self._bytes <= self._max_bytes:
                return
            del self._entries[run_id]
            self._bytes -= size
            yield run_id


class Tombstones:
    """The ids of runs that existed and are not kept any more. The oldest leave first."""

    def __init__(self, kept: int = TOMBSTONES_KEPT) -> None:
        self._kept = kept
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._ids

    def add(self, run_id: str) -> None:
        """Add the id of a run that is dropped now."""
        self._ids[run_id] = None
        while len(self._ids) > self._kept:
            self._ids.popitem(last=False)
