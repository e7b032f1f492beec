"""How long a new call would wait, by how fast the calls of its queue have lately been answered. Pure; any greenlet.

Little's law: of calls that are served in turn, a new one is answered when those ahead of it are, which takes their
number by the rate at which they are. Both are counted here, in one process, and hold for it whoever else publishes to
the queue, how many workers there are, and how many tasks they prefetch: all of that is in the rate.

The law says nothing of a worker with room to spare: if ten calls a second come, ten are answered, however many could
be. So it is asked only while there is a backlog in reading after reading, with the broker or kept back by the gateway,
which there is when all workers are busy. And the rate counts from the first answer after the backlog began, and for at
least half as long as that call took: of a thousand tasks that run side by side, the first that ends does not tell the
rate. Until then it is the one of the last backlog.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

#: Seconds in which the rate is counted. Workers often answer in bursts, as ten slots do with tasks of 2 s.
WINDOW = 4.0

#: The part of the time that the first call took, for which answers are counted before the rate counts as known. Longer
#: ones admit too many at a cold start, and the load swings for a minute.
ROUND = 0.5

#: Readings in a row with a backlog after which a queue counts as busy. A message may be on its way during one.
READINGS = 2

#: Seconds for which a queue counts as busy after its last backlog: workers still have tasks that they have prefetched.
HOLD = 5.0

#: Seconds between two readings after which nothing is known of the time between them.
GAP = 3.0


class Pace:
    """How fast the calls of one queue are answered.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = self._front = 0  # the place of the last message, and the highest of those that were answered
        self._out = 0  # the calls that have neither been answered nor left
        self._moves = True  # whether the last call that ended was answered
        self._left: list[int] = []  # the places behind the front of calls that nobody waits for; a heap
        self._counts: deque[tuple[float, int]] = deque()  # of each reading: when it began, and the answers within it
        self._began, self._count = clock(), 0  # of the reading to come
        self._known_at: float | None = None  # from when on the rate is known; ``None`` before the first answer
        self._answered_at, self._busy_rate = clock(), 0.0  # the rate while the queue was busy last
        self._readings, self._busy_at = 0, -HOLD
        self._entered, self._messages, self._has_answered = 0, 0, False  # since the last reading
        self._consumers: int | None = None
        self._read_at = self._taken_at = clock()

    @property
    def ahead(self) -> int:
        """The calls that a new one would have to wait for, if its queue is served in turn."""
        return self._last - self._front - len(self._left)

    def enter(self) -> int:
        """Note that a message goes to the queue; returns its place."""
        if not self._out:  # the time without calls says nothing of the rate
            self._forget()
            if self._moves:
                self._answered_at = self._clock()
        self._out += 1
        self._last += 1
        self._entered += 1
        return self._last

    def answer(self, place: int, did: bool, took: float) -> None:
        """Note that a worker has answered the call of this place.

        :param did: whether it did the task, or only saw that it is not wanted any more.
        :param took: seconds since the call came.
        """
        self._out, self._moves = self._out - 1, True
        if did:
            self._count_answer(took)
        self._front = max(self._front, place)
        while self._left and self._left[0] <= self._front:
            heappop(self._left)

    def leave(self, place: int) -> None:
        """Note that nobody waits for the call of this place any more: no worker will do its task."""
        self._out, self._moves = self._out - 1, False
        if place > self._front:
            heappush(self._left, place)

    def read(self, messages: int, consumers: int | None, kept_back: int = 0) -> None:
        """Take a reading of the queue.

        :param messages: that wait in it.
        :param consumers: that take from it, if the broker tells.
        :param kept_back: messages that the gateway has not sent yet.
        """
        now = self._clock()
        if now - self._read_at > GAP:
            self._taken_at = now  # what happened meanwhile is not known
        self._read_at = now
        self._readings = self._readings + 1 if messages or kept_back else 0
        if self._readings >= READINGS:
            if not self._is_busy:  # the rate was that of the calls that came
                self._forget()
            self._busy_at = now
        if consumers != 0 and (not messages or self._has_answered or messages < self._messages + self._entered):
            self._taken_at = now
        self._has_answered = False
        self._messages, self._entered, self._consumers = messages, 0, consumers
        if self._is_busy and self._out:
            self._busy_rate = self.rate or self._busy_rate
        if self._known_at is not None:
            self._counts.append((self._began, self._count))
            self._began, self._count = now, 0
        while self._counts and self._counts[0][0] < now - WINDOW:
            self._counts.popleft()

    @property
    def rate(self) -> float:
        """Answers a second, of late; 0 if it is not known."""
        if not self._is_known:
            return 0.0
        count = self._count + sum(count for _, count in self._counts)
        began = self._counts[0][0] if self._counts else self._began
        return count / max(self._clock() - began, 1e-3)

    def wait(self, kept_back: float = 0) -> float:
        """Seconds until a new call would be answered; 0 if nothing is known that it would have to wait for.

        :param kept_back: messages that the gateway has not sent yet, and will send before.
        """
        ahead = self.ahead + kept_back
        if not ahead or not self._is_busy:
            return 0.0
        if rate := self.rate:
            return (ahead + 1) / rate
        if not self._busy_rate:
            return 0.0
        still = self._clock() - self._answered_at
        if still < WINDOW:
            return 0.0 if self._is_known else (ahead + 1) / self._busy_rate
        # For how much longer they stand still, nobody knows.
        return (ahead + 1) / self._busy_rate + still

    @property
    def untaken(self) -> float:
        """Seconds for which no worker has taken anything from the queue, though there was something, or no worker.

        Only what has been read counts: while the broker is away, nothing is known of the workers.
        """
        return self._read_at - self._taken_at

    @property
    def age(self) -> float:
        """Seconds since the last reading."""
        return self._clock() - self._read_at

    @property
    def has_workers(self) -> bool:
        """Whether there are workers, as far as the broker tells."""
        return bool(self._consumers)

    @property
    def _is_busy(self) -> bool:
        return self._clock() - self._busy_at <= HOLD

    @property
    def _is_known(self) -> bool:
        """Whether the rate is known."""
        return self._known_at is not None and self._clock() >= self._known_at

    def _count_answer(self, took: float) -> None:
        self._answered_at, self._has_answered = self._clock(), True
        if self._known_at is None:
            self._began, self._known_at = self._answered_at, self._answered_at + min(ROUND * took, WINDOW)
        else:
            self._count += 1

    def _forget(self) -> None:
        """Forget the rate."""
        self._counts.clear()
        self._count, self._known_at = 0, None
