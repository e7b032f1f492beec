"""Many timeouts with one timer. ``Timeouts`` is pure; ``LoopTimer`` belongs to the loop's greenlet."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Timeouts(Generic[Key]):
    """When each of many things is due.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []  # stopped ones stay in it until it is swept
        self._count = 0  # decides between two that are due at once, since keys need no order

    def __len__(self) -> int:
        return len(self._due)

    def start(self, key: Key, seconds: float) -> None:
        """Start a timeout, or start it anew."""
        due = self._due[key] = self._clock() + seconds
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))

    def stop(self, key: Key) -> None:
        """Stop a timeout, if it runs."""
        self._due.pop(key, None)
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [entry for entry in self._heap if self._runs(entry)]
            heapq.heapify(self._heap)

    def overdue(self) -> list[Key]:
        """Take out the keys whose time is over, in the order in which they were due."""
        now, late = self._clock(), []
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._runs(entry):
                late.append(entry[2])
                del self._due[entry[2]]
        return late

    def next(self) -> float | None:
        """The seconds until the next timeout, 0 if it has passed; ``None`` if none runs."""
        while self._heap and not self._runs(self._heap[0]):
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def _runs(self, entry: tuple[float, int, Key]) -> bool:
        return self._due.get(entry[2]) == entry[0]


class LoopTimer:
    """One timer of the loop, set to the timeout that is due next.

    :param next_due: the seconds until something is due; ``None`` if nothing is.
    :param on_due: called on the loop when that time has passed.
    """

    def __init__(self, next_due: Callable[[], float | None], on_due: Callable[[], object]) -> None:
        self._next_due, self._on_due = next_due, on_due
        self._handle: asyncio.TimerHandle | None = None

    @property
    def armed(self) -> bool:
        """Whether the timer is set to ring."""
        return self._handle is not None

    def arm(self) -> None:
        """Set the timer, unless it rings before anything is due. It looks again when it has rung."""
        delay = self._next_due()
        if delay is None:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        if self._handle is not None:
            if self._handle.when() <= due:
                return
            self._handle.cancel()
        # In a context of its own: the context of the request that armed it would keep that request alive as long.
        self._handle = loop.call_at(due, self._ring, context=Context())

    def _ring(self) -> None:
        self._handle = None
        self._on_due()
        self.arm()


class SharedTimeout(Generic[Key]):
    """The same number of seconds for many things. A timer of the loop for each would cost ten times as much.

    :param seconds: that each may take.
    :param on_timeout: called on the loop with each key whose time is over.
    """

    def __init__(self, seconds: float, on_timeout: Callable[[Key], object]) -> None:
        self._seconds, self._on_timeout = seconds, on_timeout
        self._timeouts: Timeouts[Key] = Timeouts(_loop_time)
        self._timer = LoopTimer(self._timeouts.next, self._ring)

    def start(self, key: Key) -> None:
        """Start the time of a key."""
        self._timeouts.start(key, self._seconds)
        if not self._timer.armed:  # else it rings earlier, since all have the same time
            self._timer.arm()

    def stop(self, key: Key) -> None:
        """Stop the time of a key, if it runs."""
        self._timeouts.stop(key)

    def _ring(self) -> None:
        for key in self._timeouts.overdue():
            self._on_timeout(key)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
