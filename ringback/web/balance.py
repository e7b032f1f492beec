"""Shares connections among processes that listen on one socket: one with fewer open ones accepts more at a time.

The processes listen on one socket, so that a connection waits for no certain process. A process that accepted all that
wait would take all of a few that come at once. If each accepted a single one in each round of its loop, the last of
1000 would wait for half a minute, as a round is long when there is much to do. So each tells the others, in memory that
they share, how many connections it has. Each process writes only its own number; runs on the loop's greenlet.
"""

from __future__ import annotations

import mmap

#: How many more connections than the average, as a part of it, a process may accept in one round.
AHEAD = 0.08


class ConnectionCounts:
    """The number of open connections of each process. It is made before the processes are.

    :param processes: how many there are.
    """

    def __init__(self, processes: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 8 * processes)).cast("Q")

    def set(self, process: int, count: int) -> None:
        """Note how many connections a process has open."""
        self._counts[process] = count

    def may_accept_more(self, process: int) -> bool:
        """Whether a process that has accepted a connection in this round may accept another one."""
        return self._counts[process] * len(self._counts) <= sum(self._counts) * (1 + AHEAD)


class Balance:
    """One process among those that accept connections together; by default it is the only one.

    :param process: its number, from 0 on.
    """

    def __init__(self, counts: ConnectionCounts | None = None, process: int = 0) -> None:
        self._counts, self._process = counts or ConnectionCounts(1), process

    def set(self, count: int) -> None:
        """Note how many connections this process has open."""
        self._counts.set(self._process, count)

    def may_accept_more(self) -> bool:
        """Whether this process may accept another connection in this round."""
        return self._counts.may_accept_more(self._process)
