"""Whether the answer of a call can come in time: the clear no that is said before its message leaves. Any greenlet."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

from ringback.broker import Depth
from ringback.calls.call import Call
from ringback.calls.pace import Pace
from ringback.errors import NoWorker, QueueTooLong
from ringback.publish import Message

#: The part of a client's patience that the expected wait may take. Some of the tasks ahead take longer than others.
MARGIN = 0.8


class Paces:
    """The pace of each queue whose depth is read.

    :param no_worker: seconds without a worker after which a queue takes no call that is waited for; 0 for any time.
    :param clock: seconds that never go back.
    """

    def __init__(self, no_worker: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._no_worker, self._clock = no_worker, clock
        self._paces: dict[str, Pace] = {}

    def read(self, name: str, depth: Depth) -> None:
        """Take a reading of a queue."""
        if name not in self._paces:
            self._paces[name] = Pace(self._clock)
        self._paces[name].read(depth.messages, depth.consumers)

    def enter(self, message: Message, call: Call) -> None:
        """Count a call among those of its queue, until it is settled."""
        pace = self._pace_of(message)
        if pace is not None:
            call.pace, call.place = pace, pace.enter()

    def admit(self, message: Message, patience: float) -> None:
        """Check that the answer of a call can come in time.

        :param patience: seconds that a client waits for it.
        :raises NoWorker: nobody takes tasks from its queue.
        :raises QueueTooLong: too many calls are ahead of it.
        """
        pace = self._pace_of(message)
        if pace is None:
            return
        if self._no_worker and pace.untaken >= self._no_worker:
            why = f"nobody has taken a task from queue {message.queue!r} for {pace.untaken:.0f} s"
            raise NoWorker(f"{why}; with Prefer: respond-async it is queued all the same", message.call_id)
        wait = pace.wait
        if wait > MARGIN * patience:
            why = f"queue {message.queue!r} answers after about {wait:.1f} s, and the request can wait {patience:.1f} s"
            error = QueueTooLong(why, message.call_id)
            # Spread, so that those who are refused together do not come back together.
            error.retry_after = max(1, round((wait - MARGIN * patience) * random.uniform(0.8, 1.5)))
            raise error

    def complete(self, depths: dict[str, Depth]) -> dict[str, Depth]:
        """Add to the depth of each queue how long a new call would wait."""
        return {name: replace(depth, expected_wait=round(self._paces[name].wait, 3)) for name, depth in depths.items()}

    def _pace_of(self, message: Message) -> Pace | None:
        """The pace of the queue of a message; ``None`` for a queue that is not read, and a message that is delayed."""
        if message.is_delayed or message.queue is None:
            return None
        return self._paces.get(message.queue)
