"""The event loop: asyncio's, which shares its thread with gevent's hub. Runs on the main greenlet."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gevent import monkey
from gevent.selectors import GeventSelector

#: Seconds for which the loop may run ready callbacks before it gives way to gevent's hub, which costs as much as some
#: callbacks: with 2 ms a request costs a tenth more. Without a limit 1000 requests that arrive at once would all be
#: read before the first is published.
HUB_INTERVAL = 0.01

_get_ident = monkey.get_original("_thread", "get_ident")  # gevent's differs from greenlet to greenlet


class Selector(GeventSelector):
    """Gevent's selector, which gives way to the hub every 10 ms and not in each round of the loop."""

    _hub_is_due = 0.0  #: on time.monotonic()

    def select(self, timeout: float | None = None) -> list[Any]:
        """Wait for events. With callbacks ready, where asyncio passes 0, return at once until the hub is due."""
        if timeout is not None and timeout <= 0 and time.monotonic() < self._hub_is_due:
            return []
        events = super().select(timeout)
        self._hub_is_due = time.monotonic() + HUB_INTERVAL
        return events

    def wake(self) -> None:
        """End a waiting ``select`` from another greenlet."""
        self._ready.set()  # type: ignore[attr-defined]


class Loop(asyncio.SelectorEventLoop):
    """Asyncio's loop, which greenlets of its own thread wake directly, and not through a socket."""

    def __init__(self) -> None:
        super().__init__(Selector())
        self._thread = _get_ident()

    def _write_to_self(self) -> None:
        if _get_ident() == self._thread:
            self._selector.wake()  # type: ignore[attr-defined]
        else:
            super()._write_to_self()  # type: ignore[misc]
