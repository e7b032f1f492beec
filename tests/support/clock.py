"""A clock that a test sets, for code that takes its clock as an argument."""

from __future__ import annotations


class Clock:
    """Returns ``now`` when it is called, which only the test changes."""

    now = 100.0

    def __call__(self) -> float:
        return self.now
