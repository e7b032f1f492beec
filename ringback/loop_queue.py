"""The one way from other greenlets onto the loop.

``post`` may be called on any greenlet; what it was given runs on the loop's (the main) greenlet, in the order of the
posts. asyncio's ``call_soon`` does not wake a loop that sleeps in gevent's selector, ``call_soon_threadsafe`` does;
a burst of posts costs one such wake-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import gevent

T = TypeVar("T")

logger = logging.getLogger(__name__)


class LoopQueue:
    """A queue of function calls that the loop makes.

    :param loop: the loop, which must be running or about to run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posted: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Have the loop call ``function(*args)``."""
        self._posted.append((function, args))
        if len(self._posted) == 1 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        # Nothing below switches greenlets, so a post either joins this burst or finds an empty queue and wakes again.
        while self._posted:
            function, args = self._posted[0]
            try:
                function(*args)
            except Exception:
                logger.exception("a call posted to the loop failed")
            finally:
                self._posted.popleft()


async def run_in_greenlet(hop: LoopQueue, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What a function returns that may wait, or what it raises; it runs on a greenlet of its own."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def work() -> None:
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            hop.post(_settle, future, future.set_exception, error)
        else:
            hop.post(_settle, future, future.set_result, value)

    gevent.spawn(work)
    return await future


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], value: object) -> None:
    if not future.done():  # whoever awaited it was cancelled
        settle(value)


class Component(Protocol):
    """Something that needs the loop, for as long as calls can be made."""

    def start(self, hop: LoopQueue) -> None:
        """The loop is there."""

    def stop(self) -> None:
        """The loop is about to end."""
