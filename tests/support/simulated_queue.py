"""A queue, its workers and the gateways that call its tasks, in simulated time: a run of a minute takes a second."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ringback.calls.pace import Pace
from ringback.calls.paces import MARGIN

#: Seconds between two readings of the depth.
READ_INTERVAL = 0.5


@dataclass
class Called:
    """A call, from its request to its answer."""

    pace: Pace
    made: float
    seconds: float  #: that its task takes
    place: int
    is_open: bool = True  #: whether the client still waits


@dataclass
class Simulation:
    """Clients that call without waiting for one another, and workers that serve a queue in turn.

    :param offered: calls a second, at random moments.
    :param seconds: gives the seconds that a task takes.
    :param slots: tasks that run at once.
    :param prefetch: tasks that a worker takes for each slot, beside those that run.
    :param patience: seconds that a client waits.
    :param gateways: processes that share the calls, each of which knows its own ones only.
    :param working: the part of the slots that work at a time.
    :param load: by which ``offered`` is multiplied at a time.
    """

    offered: float
    seconds: Callable[[random.Random], float]
    slots: int
    prefetch: int = 1
    patience: float = 5.0
    gateways: int = 1
    working: Callable[[float], float] = lambda now: 1.0
    load: Callable[[float], float] = lambda now: 1.0
    admits: bool = True
    now: float = 0.0
    answered: list[float] = field(default_factory=list)  #: when each answer came that its client still waited for
    delays: list[float] = field(default_factory=list)  #: the seconds that each of these took
    refused: list[float] = field(default_factory=list)
    too_late: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(1)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()
        self._broker: deque[Called] = deque()
        self._taken: deque[Called] = deque()  # by the workers, and not begun
        self._running = 0
        self._paces = [Pace(lambda: self.now) for _ in range(self.gateways)]

    def run(self, end: float) -> Simulation:
        """Call until this moment, and go on until all have been answered or given up."""
        self._end = end
        self._after(0, self._call)
        self._after(READ_INTERVAL, self._read)
        while self._events:
            self.now, _, action, arguments = heapq.heappop(self._events)
            action(*arguments)
        return self

    def goodput(self, begin: float, end: float) -> float:
        """Answers in time a second, from one moment to another."""
        return sum(begin <= moment < end for moment in self.answered) / (end - begin)

    def _after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), action, arguments))

    def _read(self) -> None:
        for pace in self._paces:
            pace.read(len(self._broker), 1)
        if self.now < self._end + 30:
            self._after(READ_INTERVAL, self._read)

    def _call(self) -> None:
        if self.now >= self._end:
            return
        rate = self.offered * self.load(self.now)
        self._after(self._chance.expovariate(rate), self._call)
        pace = self._chance.choice(self._paces)
        if self.admits and pace.wait > MARGIN * self.patience:
            self.refused.append(self.now)
            return
        call = Called(pace, self.now, self.seconds(self._chance), pace.enter())
        self._broker.append(call)
        self._after(self.patience, self._give_up, call)
        self._work()

    def _give_up(self, call: Called) -> None:
        if call.is_open:
            call.is_open = False
            self.too_late += 1
            call.pace.leave(call.place)

    def _work(self) -> None:
        part = self.working(self.now)
        if not part:  # the workers stand still
            self._after(0.1, self._work)
            return
        while self._broker or self._taken:
            while self._broker and len(self._taken) < self.prefetch * self.slots:
                self._taken.append(self._broker.popleft())
            if self._running >= int(self.slots * part):
                return
            call = self._taken.popleft()
            if call.is_open:  # else it has expired, and is dropped
                self._running += 1
                self._after(call.seconds, self._end_task, call)

    def _end_task(self, call: Called) -> None:
        if not self.working(self.now):
            self._after(0.1, self._end_task, call)
            return
        self._running -= 1
        if call.is_open:
            call.is_open = False
            call.pace.answer(call.place, did=True)
            self.answered.append(self.now)
            self.delays.append(self.now - call.made)
        self._work()
