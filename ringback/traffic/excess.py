"""How much longer the calls of a task take than the others of their queue. Pure; any greenlet.

Little's law gives the wait until a call's turn, and one task of the average length. A task of 2 s among those of 0.1 s
would be admitted for as long as its turn comes in time, and be late each time.
"""

from __future__ import annotations

#: The weight of the last call.
LAST = 0.1

#: The tasks of a queue that are known, at most.
MOST = 1000


class Excess:
    """By how many seconds calls are late, as means of late: of each task, and of all."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._of_all = 0.0

    def of(self, task: str) -> float:
        """Seconds; 0 of a task that is not known, or takes no longer than the others."""
        return max(0.0, self._seconds.get(task, self._of_all) - self._of_all)

    def note(self, task: str, seconds: float) -> None:
        """Note by how much the call of a task came later than was expected of any call."""
        self._of_all += LAST * (seconds - self._of_all)
        before = self._seconds.pop(task, seconds)
        if len(self._seconds) >= MOST:
            del self._seconds[next(iter(self._seconds))]  # the one that was called least lately
        self._seconds[task] = before + LAST * (seconds - before)
