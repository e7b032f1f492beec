"""A time that many may take, with one timer for them all. The loop's alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar

Who = TypeVar("Who", bound=Hashable)


class SharedTimeout(Generic[Who]):
    """Says of whom the time is over.

    A timer of the loop for each costs ten times as much, and hardly one of them ever rings.

    :param seconds: that each may take.
    :param on_over: called with whoever took longer.
    """

    def __init__(self, seconds: float, on_over: Callable[[Who], object]) -> None:
        self._seconds, self._on_over = seconds, on_over
        self._ends: dict[Who, float] = {}  # in order, since all have the same time
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, who: Who) -> None:
        """The time of somebody begins, who has none running."""
        loop = asyncio.get_running_loop()
        end = self._ends[who] = loop.time() + self._seconds
        if self._timer is None:  # in a context of its own: that of the first request would keep it as long
            self._timer = loop.call_at(end, self._ring, context=Context())

    def end(self, who: Who) -> None:
        """They are done, if they have not been."""
        self._ends.pop(who, None)

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._ends:
            who, end = next(iter(self._ends.items()))
            if end > loop.time():
                self._timer = loop.call_at(end, self._ring, context=Context())
                return
            del self._ends[who]
            self._on_over(who)
