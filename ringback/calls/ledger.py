"""Which calls wait for a result, and until when. Pure: standard library only, no I/O, no greenlets.

Rule: a call enters once and is settled once. ``settle`` hands the waiter out exactly one time, whichever of result,
deadline, client gone, publish failure and shutdown comes first; the others then find nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ringback.calls.timeouts import Timeouts

Waiter = TypeVar("Waiter")


class Ledger(Generic[Waiter]):
    """The calls that wait for a result.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiters: dict[str, Waiter] = {}
        self._deadlines: Timeouts[str] = Timeouts(clock)

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._waiters

    def enter(self, call_id: str, waiter: Waiter, deadline: float) -> None:
        """Have ``waiter`` wait for the call until ``deadline`` seconds from now.

        :raises ValueError: the call is in the ledger already.
        """
        if call_id in self._waiters:
            raise ValueError(f"call {call_id} is in the ledger already")
        self._waiters[call_id] = waiter
        self._deadlines.start(call_id, deadline)

    def get(self, call_id: str) -> Waiter | None:
        """The waiter of this call, if it is not settled."""
        return self._waiters.get(call_id)

    def settle(self, call_id: str) -> Waiter | None:
        """Take the waiter of this call out; ``None`` if the call is settled already, or never entered."""
        self._deadlines.stop(call_id)
        return self._waiters.pop(call_id, None)

    def overdue(self) -> list[str]:
        """The calls whose deadline has passed, each once; they stay in the ledger until they are settled."""
        return self._deadlines.overdue()

    def waiting(self) -> list[str]:
        """The calls that are not settled."""
        return list(self._waiters)

    def next_deadline(self) -> float | None:
        """The seconds until the next deadline, 0 if it has passed; ``None`` if no call has one to come."""
        return self._deadlines.next()
