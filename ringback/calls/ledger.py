"""Who waits for which call, and until when. Pure: standard library only, no I/O, no greenlets; the loop's alone.

Rule: a call enters once and is settled once. ``settle`` hands the waiter out exactly one time, whichever of result,
deadline, client gone, publish failure and shutdown comes first; the others then find nothing.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")


class Ledger(Generic[Waiter]):
    """The calls that are waited for.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, tuple[float, Waiter]] = {}
        self._deadlines: list[tuple[float, str]] = []  # a heap; settled calls stay in it until it is swept

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._held

    def enter(self, call_id: str, waiter: Waiter, deadline: float) -> None:
        """Hold ``waiter`` until ``deadline`` seconds from now.

        :raises ValueError: the call is in the ledger already.
        """
        if call_id in self._held:
            raise ValueError(f"call {call_id} is held already")
        due = self._clock() + deadline
        self._held[call_id] = (due, waiter)
        heapq.heappush(self._deadlines, (due, call_id))

    def settle(self, call_id: str) -> Waiter | None:
        """The waiter of this call, out of the ledger; ``None`` when the call is settled already, or never was here."""
        entry = self._held.pop(call_id, None)
        if len(self._deadlines) > 2 * len(self._held) + 64:
            self._sweep()
        return entry[1] if entry else None

    def overdue(self) -> list[str]:
        """The calls whose deadline has passed; they stay held until they are settled."""
        now = self._clock()
        late = []
        while self._deadlines and self._deadlines[0][0] <= now:
            entry = heapq.heappop(self._deadlines)
            if self._is_held(entry):
                late.append(entry[1])
        return late

    def held(self) -> list[str]:
        """The calls that are not settled."""
        return list(self._held)

    def next_deadline(self) -> float | None:
        """Seconds until the next deadline, 0 if it has passed; ``None`` if nothing is held."""
        while self._deadlines and not self._is_held(self._deadlines[0]):
            heapq.heappop(self._deadlines)
        return max(0.0, self._deadlines[0][0] - self._clock()) if self._deadlines else None

    def _sweep(self) -> None:
        self._deadlines = [entry for entry in self._deadlines if self._is_held(entry)]
        heapq.heapify(self._deadlines)

    def _is_held(self, entry: tuple[float, str]) -> bool:
        due, call_id = entry
        return call_id in self._held and self._held[call_id][0] == due
