"""Whoever takes too long is named once, and whoever is done in time never."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ringback.timeouts import SharedTimeout

SECONDS = 0.05


def run(conversation: Coroutine[Any, Any, object]) -> None:
    asyncio.run(asyncio.wait_for(conversation, 20))


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


def test_who_is_named_has_had_the_whole_time() -> None:
    async def conversation() -> None:
        late: asyncio.Queue[float] = asyncio.Queue()
        clock = asyncio.get_running_loop().time
        limit = SharedTimeout[str](SECONDS, lambda who: late.put_nowait(clock()))
        limit.start("first")
        await asyncio.sleep(SECONDS / 2)
        limit.stop("first")
        began = clock()
        limit.start("second")  # the timer rings for the first

        assert await late.get() >= began + SECONDS

    run(conversation())


def test_where_nobody_is_left_no_timer_is() -> None:
    async def conversation() -> None:
        limit = SharedTimeout[str](SECONDS, lambda who: None)
        limit.start("somebody")
        limit.stop("somebody")
        while limit._timer.armed:
            await asyncio.sleep(SECONDS)

    run(conversation())
