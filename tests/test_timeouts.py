"""A key that takes too long is reported once; a key stopped in time is not. The tests control the loop's clock."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clock import Clock
from ringback.calls.timeouts import SharedTimeout, Timeouts

SECONDS = 10.0


class Selector(selectors.DefaultSelector):
    """A selector that does not wait, but moves its clock to the end of the wait."""

    now = 100.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "the loop would wait for ever"
        self.now += max(0.0, timeout)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """A loop with the clock of its selector."""

    def __init__(self) -> None:
        self._clock = Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(conversation: Coroutine[Any, Any, object]) -> None:
    loop = Loop()
    try:
        loop.run_until_complete(conversation)
    finally:
        loop.close()


def test_only_keys_that_take_too_long_are_reported_and_in_order() -> None:
    async def conversation() -> None:
        late: asyncio.Queue[str] = asyncio.Queue()
        timeout = SharedTimeout(SECONDS, late.put_nowait)
        for key in "abcd":
            timeout.start(key)
        timeout.stop("a")
        timeout.stop("c")
        timeout.stop("unknown")

        assert [await late.get(), await late.get()] == ["b", "d"]
        timeout.start("e")
        assert await late.get() == "e"
        assert late.empty()

    run(conversation())


def test_a_key_is_reported_after_exactly_its_time() -> None:
    async def conversation() -> None:
        late: asyncio.Queue[float] = asyncio.Queue()
        clock = asyncio.get_running_loop().time
        timeout = SharedTimeout[str](SECONDS, lambda key: late.put_nowait(clock()))
        timeout.start("first")
        await asyncio.sleep(SECONDS / 2)
        timeout.stop("first")
        began = clock()
        timeout.start("second")  # the timer fires for the first

        assert began + SECONDS <= await late.get() < began + SECONDS + 0.01

    run(conversation())


def test_without_keys_no_timer_is_left() -> None:
    async def conversation() -> None:
        timeout = SharedTimeout[str](SECONDS, lambda key: None)
        timeout.start("a")
        timeout.stop("a")
        assert timeout._timer.armed
        await asyncio.sleep(2 * SECONDS)
        assert not timeout._timer.armed

    run(conversation())


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9) | st.none(), st.integers(0, 3)), max_size=60))
def test_timeouts_are_due_as_a_plain_list_would_have_them(history: list[tuple[str, int | None, int]]) -> None:
    clock, due = Clock(), {}
    timeouts: Timeouts[str] = Timeouts(clock)
    for key, seconds, passes in history:
        if seconds is None:
            timeouts.stop(key)
            due.pop(key, None)
        else:
            timeouts.start(key, seconds)
            due[key] = clock.now + seconds
        assert timeouts.next() == (max(0.0, min(due.values()) - clock.now) if due else None)
        clock.now += passes
        late = sorted((moment, name) for name, moment in due.items() if moment <= clock.now)
        found = timeouts.overdue()
        assert sorted((due[name], name) for name in found) == late
        moments = [due.pop(name) for name in found]
        assert moments == sorted(moments)
        assert len(timeouts) == len(due)


def test_stopped_timeouts_take_no_memory() -> None:
    timeouts: Timeouts[int] = Timeouts()
    for key in range(10_000):
        timeouts.start(key, 100)
        timeouts.stop(key)

    assert len(timeouts._heap) <= 100
