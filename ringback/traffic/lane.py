"""The way of the messages of one queue: sent at once, or kept back and sent by fair turns. Pure; any greenlet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ringback.traffic.fair_queue import FairQueue
from ringback.traffic.pace import HOLD, Pace
from ringback.traffic.shares import Tenant
from ringback.traffic.window import Window

Item = TypeVar("Item")

#: Seconds after which a reading of the queue's depth is too old to keep anything back for.
STALE = 1.5


class Lane(Generic[Item]):
    """One queue, as one process sees it.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.pace, self.window = Pace(clock), Window()
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

    def come(self, tenant: Tenant) -> None:
        """Note that a tenant wants to send."""
        if self._last[0] != tenant.name:
            self._other = self._last
        self._last = tenant.name, self._clock()

    def is_contended(self, tenant: Tenant) -> bool:
        """Whether another tenant than this has wanted to send lately."""
        last = self._last if self._last[0] != tenant.name else self._other
        return self._clock() - last[1] < HOLD

    def send(self) -> int:
        """Note that a message is sent; returns its place in the queue."""
        self.window.out += 1
        return self.pace.enter()

    def end(self, place: int, answered: bool, did: bool) -> None:
        """Note that the call of a message that was sent has ended.

        :param answered: whether a worker has answered it.
        :param did: whether the worker did its task.
        """
        self.window.out -= 1
        if answered:
            self.pace.answer(place, did)
        else:
            self.pace.leave(place)

    def read(self, messages: int, consumers: int | None) -> None:
        """Take a reading of the queue, as ``Pace.read``."""
        self.pace.read(messages, consumers, len(self.kept_back))
        self.window.read(messages, len(self.kept_back))
