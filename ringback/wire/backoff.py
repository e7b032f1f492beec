"""How long a connection has been away, and when to look for it again. Pure: no I/O, any greenlet."""

from __future__ import annotations

import time
from collections.abc import Callable

#: The longest pause between two attempts, in seconds, so that the one after the server's return comes soon. A
#: connection that has held for less counts as one more failed attempt.
LONGEST_PAUSE = 1.0


class ReconnectBackoff:
    """The outages of one connection, which is away until it is said to be there.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._away_since: float | None = clock()
        self._there_since = 0.0
        self._pause = 0.0
        self.attempts = 0  #: to get it back, since the beginning

    def end(self) -> None:
        """The connection is there."""
        self._away_since, self._there_since = None, self._clock()

    def next_attempt(self) -> float:
        """The connection is away, again or still; returns the seconds to wait before the next attempt."""
        if self._away_since is None:
            self._away_since = self._clock()
            if self._away_since - self._there_since > LONGEST_PAUSE:
                self._pause = 0.0
        self.attempts += 1
        pause, self._pause = self._pause, min(2 * self._pause + 0.1, LONGEST_PAUSE)
        return pause

    def exceeds(self, seconds: float) -> bool:
        """Whether the connection has been away for longer than that."""
        return self._away_since is not None and self._clock() - self._away_since > seconds
