"""How many messages of one queue may be with the broker and the workers at once. Pure; any greenlet.

The broker serves a queue in its turn, no matter who sent what. So a gateway that sends all it has makes each tenant
wait for what all others have sent. It sends only as many as keep the workers busy, and what it keeps back it sends by
fair turns. How many that is, the depth of the queue tells: too many are out if messages wait in the broker, and too few
if none does while some are kept back.
"""

from __future__ import annotations

#: The messages of a queue that nothing is known of yet.
FIRST = 64

#: The messages that are to wait in the broker, so that a worker that is done finds one: few, since each tenant waits
#: for them, and the same number for each gateway, so that none yields to another that takes more.
WANTED = 1

#: The part of the messages out by which their number grows at a reading that finds none in the broker. At others that
#: find few it grows by one, so that of several gateways each comes to the same number.
GROWTH = 0.1

#: This part of the messages in the broker may always be out: what waits there may be others', and they give no way.
FLOOR = 1 / 16


class Window:
    """The messages that are out: sent, and neither answered nor given up."""

    def __init__(self) -> None:
        self.out = 0
        self.limit = FIRST
        self._growth = 1.0  # until too many are out for the first time
        self._too_many = False  # at the last reading: what is on its way during one says nothing

    @property
    def has_room(self) -> bool:
        """Whether one more may be sent."""
        return self.out < self.limit

    def read(self, messages: int, kept_back: int) -> None:
        """Adjust the limit to a reading of the queue's depth.

        :param messages: that wait in the broker.
        :param kept_back: messages that are kept back.
        """
        before, self._too_many = self._too_many, messages > WANTED
        if self._too_many and before:
            self._growth = GROWTH
            most, excess = max(self.out, self.limit), messages - WANTED
            fewer = most - min(excess, int(most * excess / (2 * messages)))
            self.limit = max(1, int(messages * FLOOR), min(self.limit, fewer))
        elif kept_back and not self._too_many:
            self.limit = max(self.limit, self.out + 1 + (0 if messages else int(self.out * self._growth)))
