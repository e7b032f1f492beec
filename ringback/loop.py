"""The event loop: asyncio's on gevent's hub, where both are one thread and take turns. On the main greenlet."""

from __future__ import annotations

import asyncio
from typing import Any

from gevent import monkey
from gevent.selectors import GeventSelector

#: So many times the loop goes on with what is ready before the hub has its turn, which costs as much as a callback or
#: two. A request is read and begun in four.
TURNS = 8

_get_ident = monkey.get_original("_thread", "get_ident")  # gevent's tells greenlets apart


class Selector(GeventSelector):
    """Gevent's, which gives the hub a turn for each round of the loop, even where nobody is to be waited for."""

    _left = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        """As gevent's. With callbacks ready, for which asyncio passes 0, nothing is looked for until they have run."""
        if timeout is not None and timeout <= 0 and self._left:
            self._left -= 1
            return []
        self._left = TURNS
        return super().select(timeout)

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
