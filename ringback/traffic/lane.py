"""The way of the messages of one queue: sent at once, or kept back and sent by fair turns. Pure; any greenlet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ringback.traffic.excess import Excess
from ringback.traffic.fair_queue import FairQueue
from ringback.traffic.pace import HOLD, Pace
from ringback.traffic.shares import Tenant
from ringback.traffic.window import Window

Item = TypeVar("Item")

#: Seconds after which a reading of the queue's depth is too old to keep anything back for.
STALE = 1.5

#: The part of a client's patience that the expected wait may take. Some of the tasks ahead take longer than others.
MARGIN = 0.8

#: The same for a tenant none of whose calls is kept back, so that this one is the next to be sent.
SURE = 0.95


class Place:
    """Where a call is on its way: kept back, or in the queue.

    :param task: the name of its task.
    :param since: when it came.
    :param wait: the seconds after which it was expected to be answered.
    """

    __slots__ = "number", "since", "task", "wait"

    def __init__(self, task: str, since: float, wait: float) -> None:
        self.task, self.since, self.wait = task, since, wait
        self.number = 0  #: in the queue, once its message is sent


class Lane(Generic[Item]):
    """One queue, as one process sees it.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.pace, self.window, self.excess = Pace(clock), Window(), Excess()
        self.kept_back: FairQueue[Item] = FairQueue()
        # The tenant that has come last, and the last one before that is another one; each with the moment.
        self._last: tuple[str, float] = "", -HOLD
        self._other: tuple[str, float] = "", -HOLD

    @property
    def may_send(self) -> bool:
        """Whether one more message may be sent: the window has room, or what is known of the queue is too old."""
        return self.window.has_room or self.pace.age > STALE

    def wait(self, tenant: Tenant) -> float:
        """Seconds until a new call of this tenant would be answered; 0 if nothing is known that it would wait for."""
        return self.pace.wait(self.kept_back.ahead(tenant) if self.kept_back else 0)

    def late_by(self, tenant: Tenant, task: str, patience: float) -> float:
        """Seconds by which the answer to a new call would come too late; 0 if it would come in time.

        A task that takes longer than the patience by itself is not late because of the others.

        :param patience: seconds that the client waits.
        """
        wait = self.wait(tenant)
        if not wait:
            return 0.0
        limit = (MARGIN if self.kept_back.of(tenant) else SURE) * patience
        excess = self.excess.of(task)
        return max(0.0, wait + (excess if excess < limit else 0.0) - limit)

    def come(self, tenant: Tenant, task: str) -> Place:
        """Note that a tenant wants to send a call; returns the place of that."""
        place = Place(task, self._clock(), self.wait(tenant))
        if self._last[0] != tenant.name:
            self._other = self._last
        self._last = tenant.name, place.since
        return place

    def is_contended(self, tenant: Tenant) -> bool:
        """Whether another tenant than this has wanted to send lately."""
        last = self._last if self._last[0] != tenant.name else self._other
        return self._clock() - last[1] < HOLD

    def send(self, place: Place) -> None:
        """Note that the message of a call is sent."""
        self.window.out += 1
        place.number = self.pace.enter()

    def end(self, place: Place, answered: bool, did: bool) -> None:
        """Note that the call of a message that was sent has ended.

        :param answered: whether a worker has answered it.
        :param did: whether the worker did its task.
        """
        self.window.out -= 1
        if not answered:
            self.pace.leave(place.number)
            return
        took = self._clock() - place.since
        self.pace.answer(place.number, did, took)
        if did:
            self.excess.note(place.task, took - place.wait)

    def give_up(self, place: Place) -> None:
        """Note that the client of a call has waited for as long as it could: the task takes at least so long."""
        self.excess.note(place.task, self._clock() - place.since - place.wait)

    def read(self, messages: int, consumers: int | None) -> None:
        """Take a reading of the queue, as ``Pace.read``."""
        self.pace.read(messages, consumers, len(self.kept_back))
        self.window.read(messages, len(self.kept_back))
