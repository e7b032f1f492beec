"""How long to wait before the next attempt. Pure: the clock comes in, there is no I/O, and any greenlet may call it."""

from __future__ import annotations

import time
from collections.abc import Callable


class Backoff:
    """Pauses between attempts: none at first, then twice as long after each failure, up to a limit.

    :param shortest: seconds; the pause after the second failure in a row.
    :param longest: seconds; no pause is longer.
    :param steady: seconds; what has worked for longer than this starts again without a pause.
    """

    def __init__(self, shortest: float, longest: float, steady: float) -> None:
        self._shortest, self._longest, self._steady = shortest, longest, steady
        self._next = 0.0

    def failed(self, worked_for: float = 0.0) -> float:
        """The seconds to wait, after something has failed that had worked for so many seconds."""
        if worked_for > self._steady:
            self._next = 0.0
        pause, self._next = self._next, min(max(self._shortest, 2 * self._next), self._longest)
        return pause


class ReconnectBackoff:
    """How long one connection has been lost, and when to try again. It counts as lost until it is first ``connected``.

    The longest pause is one second, so that the attempt after the server's return comes soon. A connection that holds
    for less than that counts as one more failed attempt.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pauses = Backoff(shortest=0.1, longest=1.0, steady=1.0)
        self._lost_since: float | None = clock()
        self._connected_at = 0.0
        self.attempts = 0  #: failed attempts and lost connections so far

    def connected(self) -> None:
        """Note that the connection is open and of use."""
        self._lost_since, self._connected_at = None, self._clock()

    def lost(self) -> float:
        """Note that the connection was lost, or an attempt failed; returns the seconds to wait before the next."""
        worked_for = 0.0
        if self._lost_since is None:
            self._lost_since = self._clock()
            worked_for = self._lost_since - self._connected_at
        self.attempts += 1
        return self._pauses.failed(worked_for)

    def lost_for(self, seconds: float) -> bool:
        """Whether the connection has been lost for longer than so many seconds."""
        return self._lost_since is not None and self._clock() - self._lost_since > seconds
