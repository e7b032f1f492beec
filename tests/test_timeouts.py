"""Whoever takes too long is named once, and whoever is done in time never. The loop's clock is the test's own."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ringback.calls.timeouts import SharedTimeout, Timeouts

SECONDS = 10.0


class Selector(selectors.DefaultSelector):
    """Does not wait: its clock shows at once what it would have shown after the wait."""

    now = 100.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "the loop would wait for ever"
        self.now += max(0.0, timeout)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """Lives by the clock of its selector."""

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


def test_who_takes_too_long_is_named_in_turn_and_nobody_else() -> None:
    async def conversation() -> None:
        late: asyncio.Queue[str] = asyncio.Queue()
        limit = SharedTimeout(SECONDS, late.put_nowait)
        for who in "abcd":
            limit.start(who)
        limit.stop("a")
        limit.stop("c")
        limit.stop("nobody")

        assert [await late.get(), await late.get()] == ["b", "d"]
        limit.start("e")
        assert await late.get() == "e"
        assert late.empty()

    run(conversation())


def test_who_is_named_has_had_the_whole_time_and_no_more() -> None:
    async def conversation() -> None:
        late: asyncio.Queue[float] = asyncio.Queue()
        clock = asyncio.get_running_loop().time
        limit = SharedTimeout[str](SECONDS, lambda who: late.put_nowait(clock()))
        limit.start("first")
        await asyncio.sleep(SECONDS / 2)
        limit.stop("first")
        began = clock()
        limit.start("second")  # the timer rings for the first

        assert began + SECONDS <= await late.get() < began + SECONDS + 0.01

    run(conversation())


def test_where_nobody_is_left_no_timer_is() -> None:
    async def conversation() -> None:
        limit = SharedTimeout[str](SECONDS, lambda who: None)
        limit.start("somebody")
        limit.stop("somebody")
        assert limit._timer.armed
        await asyncio.sleep(2 * SECONDS)
        assert not limit._timer.armed

    run(conversation())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9) | st.none(), st.integers(0, 3)), max_size=60))
def test_timeouts_are_due_as_a_plain_list_of_them_says(history: list[tuple[str, int | None, int]]) -> None:
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


def test_timeouts_that_were_stopped_take_no_memory() -> None:
    timeouts: Timeouts[int] = Timeouts()
    for key in range(10_000):
        timeouts.start(key, 100)
        timeouts.stop(key)

    assert len(timeouts._heap) <= 100
