"""Wait for a condition, in a plain thread or on an asyncio loop.

Both functions poll, and return as soon as the condition is true. Their limit measures nothing: it makes a test fail,
with the last value, instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT = 30.0  # seconds; far more than any condition needs, also on a busy machine
PAUSE = 0.01  # seconds between two calls of ``look``


def until(look: Callable[[], T], holds: Callable[[T], object] = bool, limit: float = LIMIT) -> T:
    """Call ``look`` until ``holds`` is true of what it returns; block the thread meanwhile.

    :param look: returns the value to test.
    :param holds: the condition; without one, what ``look`` returns must be true.
    :returns: what ``look`` returned last.
    :raises AssertionError: the condition does not hold after ``limit`` seconds; the message shows the last value.
    """
    end = time.monotonic() + limit
    while not holds(seen := look()):
        assert time.monotonic() < end, _complaint(limit, seen)
        time.sleep(PAUSE)
    return seen


async def until_async(
    look: Callable[[], T | Awaitable[T]], holds: Callable[[T], object] = bool, limit: float = LIMIT
) -> T:
    """Do the same as ``until`` on an asyncio loop, which goes on meanwhile; ``look`` may be a coroutine function."""
    end = time.monotonic() + limit
    while not holds(seen := await _seen(look())):
        assert time.monotonic() < end, _complaint(limit, seen)
        await asyncio.sleep(PAUSE)
    return seen


async def _seen(found: T | Awaitable[T]) -> T:
    return await found if inspect.isawaitable(found) else found  # type: ignore[return-value]


def _complaint(limit: float, seen: object) -> str:
    return f"the condition does not hold after {limit:g} s; last seen: {seen}"
