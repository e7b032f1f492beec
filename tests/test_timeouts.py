"""Whoever takes too long is named once, and whoever is done in time never. The loop's clock is the test's own."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from ringback.web.timeouts import SharedTimeout

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
            limit.begin(who)
        limit.end("a")
        limit.end("c")
        limit.end("nobody")

        assert [await late.get(), await late.get()] == ["b", "d"]
        limit.begin("e")
        assert await late.get() == "e"
        assert late.empty()

    run(conversation())


def test_who_is_named_has_had_the_whole_time_and_no_more() -> None:
    async def conversation() -> None:
        late: asyncio.Queue[float] = asyncio.Queue()
        clock = asyncio.get_running_loop().time
        limit = SharedTimeout[str](SECONDS, lambda who: late.put_nowait(clock()))
        limit.begin("first")
        await asyncio.sleep(SECONDS / 2)
        limit.end("first")
        began = clock()
        limit.begin("second")  # the timer rings for the first

        assert began + SECONDS <= await late.get() < began + SECONDS + 0.01

    run(conversation())


def test_where_nobody_is_left_no_timer_is() -> None:
    async def conversation() -> None:
        limit = SharedTimeout[str](SECONDS, lambda who: None)
        limit.begin("somebody")
        limit.end("somebody")
        assert limit._timer is not None
        await asyncio.sleep(2 * SECONDS)
        assert limit._timer is None

    run(conversation())
