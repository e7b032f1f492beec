"""The one way from other greenlets onto the loop.

``LoopQueue.post`` may be called on any greenlet; what it was given runs on the loop's (the main) greenlet, in the order
of the posts. asyncio's ``call_soon`` does not wake a loop that sleeps in gevent's selector, ``call_soon_threadsafe``
does; a burst of posts costs one such wake-up.
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

#: Calls of one pass. The loop serves its sockets and timers before the next pass, however fast others post.
CALLS_PER_PASS = 1000


class LoopQueue:
    """A queue of function calls that the loop makes.

    :param loop: the loop, which must be running or about to run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posted: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._woken = False  # whether a pass is scheduled, or runs

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Have the loop call ``function(*args)``. What it raises is logged."""
        self._posted.append((function, args))
        if not self._woken:
            self._wake()

    def _wake(self) -> None:
        self._woken = not self._loop.is_closed()
        if self._woken:
            self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        try:
            for _ in range(min(len(self._posted), CALLS_PER_PASS)):
                function, args = self._posted.popleft()
                try:
                    function(*args)
                except Exception:
                    logger.exception("a call posted to the loop failed")
        finally:  # a GreenletExit or KeyboardInterrupt ends this pass, and must not strand what is behind it
            self._woken = False
            if self._posted:
                self._wake()


async def run_in_greenlet(loop_queue: LoopQueue, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run a function that may wait on a greenlet of its own; returns what it returns, raises what it raises.

    :raises RuntimeError: the greenlet was killed.
    """
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def work() -> None:
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            loop_queue.post(_resolve, future, future.set_exception, error)
        except BaseException as error:  # a GreenletExit, say; or the caller would wait for ever
            killed = RuntimeError(f"the greenlet was killed: {error!r}")
            loop_queue.post(_resolve, future, future.set_exception, killed)
        else:
            loop_queue.post(_resolve, future, future.set_result, value)

    gevent.spawn(work)
    return await future


def _resolve(future: asyncio.Future[Any], resolve: Callable[[Any], None], value: object) -> None:
    if not future.done():  # the coroutine that awaited it was cancelled
        resolve(value)


class Component(Protocol):
    """A part of the web process that needs the loop for as long as calls can be made."""

    def start(self, loop_queue: LoopQueue) -> None:
        """Start, on the loop's greenlet, without waiting for anything."""

    def stop(self) -> None:
        """Stop, on the loop's greenlet."""
