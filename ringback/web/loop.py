"""The event loop: asyncio's on gevent's hub, where both are one thread and take turns. On the main greenlet."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gevent import monkey
from gevent.selectors import GeventSelector

#: Seconds for which the loop may go on with what is ready before the hub has its turn, which costs as much as some
#: callbacks; with 2 ms a request costs a tenth more. Without a limit 1000 requests that come at once would all be read
#: before the first is published.
PAUSE = 0.01

_get_ident = monkey.get_original("_thread", "get_ident")  # gevent's tells greenlets apart


class Selector(GeventSelector):
    """Gevent's, which gives the hub a turn for each round of the loop."""

    _turn = 0.0  #: of the hub: when it is due, by time.monotonic()

    def select(self, timeout: float | None = None) -> list[Any]:
        """As gevent's. With callbacks ready, for which asyncio passes 0, nothing is looked for until it is time."""
        if timeout is not None and timeout <= 0 and time.monotonic() < self._turn:
            return []
        events = super().select(timeout)
        self._turn = time.monotonic() + PAUSE
        return events

    def wake(self) -> None:
        """End a ``select`` that waits, from another greenlet."""
        self._ready.set()  # type: ignore[attr-defined]


class Loop(asyncio.SelectorEventLoop):
    """Asyncio's, which greenlets of its own thread wake without a word through a socket."""

    def __init__(self) -> None:
        super().__init__(Selector())
        self._thread = _get_ident()

    def _write_to_self(self) -> None:
        if _get_ident() == self._thread:
            self._selector.wake()  # type: ignore[attr-defined]
        else:
            super()._write_to_self()  # type: ignore[misc]
