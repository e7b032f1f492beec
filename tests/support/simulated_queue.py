"""A queue, its workers and the gateways that call its tasks, in simulated time: a run of a minute takes a second."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ringback.calls.lanes import LATEST
from ringback.traffic import Lane, Place, Tenant

#: Seconds between two readings of the depth, and between those of a queue for which messages are kept back.
READ_INTERVAL, SOON = 0.5, 0.05


@dataclass
class Called:
    """A call, from its request to its answer."""

    lane: Lane[Called]
    tenant: Tenant
    made: float
    seconds: float  #: that its task takes
    place: Place
    is_open: bool = True  #: whether the client still waits
    answered_at: float = 0.0


@dataclass
class Simulation:
    """Clients that call without waiting for one another, and workers that serve a queue in turn.

    :param offered: calls a second of each tenant, at random moments.
    :param seconds: gives the seconds that a task takes.
    :param slots: tasks that run at once.
    :param prefetch: tasks that a worker takes for each slot, beside those that run.
    :param patience: seconds that a client waits.
    :param gateways: processes that share the calls, each of which knows its own ones only.
    :param working: the part of the slots that work at a time.
    :param load: by which ``offered`` is multiplied at a time.
    """

    offered: dict[Tenant, float]
    seconds: Callable[[random.Random], float]
    slots: int
    prefetch: int = 1
    patience: float = 5.0
    gateways: int = 1
    working: Callable[[float], float] = lambda now: 1.0
    load: Callable[[float], float] = lambda now: 1.0
    admits: bool = True
    now: float = 0.0
    answered: list[Called] = field(default_factory=list)  #: those whose answer came while their client waited
    refused: list[tuple[float, Tenant]] = field(default_factory=list)
    too_late: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(1)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()
        self._broker: deque[Called] = deque()
        self._taken: deque[Called] = deque()  # by the workers, and not begun
        self._running = 0
        self.lanes: list[Lane[Called]] = [Lane(lambda: self.now) for _ in range(self.gateways)]
        self._soon: set[int] = set()

    def run(self, end: float) -> Simulation:
        """Call until this moment, and go on until all have been answered or given up."""
        self._end = end
        for tenant in self.offered:
            self._after(0, self._call, tenant)
        self._after(READ_INTERVAL, self._read_all)
        while self._events:
            self.now, _, action, arguments = heapq.heappop(self._events)
            action(*arguments)
        return self

    def goodput(self, begin: float, end: float, tenant: Tenant | None = None) -> float:
        """Answers in time a second, from one moment to another."""
        found = [call for call in self.answered if tenant in (None, call.tenant)]
        return sum(begin <= call.answered_at < end for call in found) / (end - begin)

    def delays(self, tenant: Tenant, begin: float = 0.0) -> list[float]:
        """The seconds that each answer took to a call that was made from this moment on, sorted."""
        found = [call for call in self.answered if call.tenant == tenant and call.made >= begin]
        return sorted(call.answered_at - call.made for call in found)

    def _after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), action, arguments))

    def _read_all(self) -> None:
        for number in range(self.gateways):
            self._read(number)
        if self.now < self._end + 30:
            self._after(READ_INTERVAL, self._read_all)

    def _read_soon(self, number: int) -> None:
        if number not in self._soon:
            self._soon.add(number)
            self._after(SOON * self._chance.uniform(0.5, 1.5), self._read_kept_back, number)

    def _read_kept_back(self, number: int) -> None:
        self._soon.discard(number)
        self._read(number)

    def _read(self, number: int) -> None:
        lane = self.lanes[number]
        lane.read(len(self._broker), 1)
        self._send(lane)
        if lane.kept_back:
            self._read_soon(number)

    def _call(self, tenant: Tenant) -> None:
        if self.now >= self._end:
            return
        rate = self.offered[tenant] * self.load(self.now)
        if not rate:
            self._after(0.1, self._call, tenant)
            return
        self._after(self._chance.expovariate(rate), self._call, tenant)
        number = self._chance.randrange(self.gateways)
        lane = self.lanes[number]
        seconds = self.seconds(self._chance)
        if self.admits and lane.late_by(tenant, f"{seconds:g} s", self.patience):
            self.refused.append((self.now, tenant))
            return
        call = Called(lane, tenant, self.now, seconds, lane.come(tenant, f"{seconds:g} s"))
        lane.kept_back.put(str(id(call)), tenant, call)
        self._after(self.patience, self._give_up, call)
        self._after(LATEST * self.patience, self._take_back, call)
        self._send(lane)
        if lane.kept_back:
            self._read_soon(number)

    def _send(self, lane: Lane[Called]) -> None:
        while (lane.may_send or not self.admits) and (call := lane.kept_back.take()):
            lane.send(call.place)
            self._broker.append(call)
        self._work()

    def _take_back(self, call: Called) -> None:
        if call.lane.kept_back.remove(str(id(call))):
            call.is_open = False
            self.refused.append((self.now, call.tenant))

    def _give_up(self, call: Called) -> None:
        if call.is_open:
            call.is_open = False
            self.too_late += 1
            call.lane.give_up(call.place)
            call.lane.end(call.place, answered=False, did=False)
            self._send(call.lane)

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
            call.is_open, call.answered_at = False, self.now
            call.lane.end(call.place, answered=True, did=True)
            self.answered.append(call)
        self._send(call.lane)
