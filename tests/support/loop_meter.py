"""Measures the loop's own clock: the CPU time that single callbacks of the loop take."""

from __future__ import annotations

import asyncio
import time

_longest = 0.0


def measure() -> None:
    """From now on, measure each callback of asyncio's loops in this process."""
    original = asyncio.Handle._run

    def run_and_measure(handle: asyncio.Handle) -> None:
        global _longest
        before = time.thread_time()
        original(handle)
        _longest = max(_longest, time.thread_time() - before)

    asyncio.Handle._run = run_and_measure  # type: ignore[method-assign]


def longest() -> float:
    """The CPU time of the longest callback since this was asked last, in milliseconds."""
    global _longest
    found, _longest = _longest, 0.0
    return found * 1000
