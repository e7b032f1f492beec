"""What other greenlets post reaches the loop in order, and a burst wakes it once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ringback.loop_queue import LoopQueue


class CountingLoop:
    """A loop that notes what wakes it, and runs when the test says."""

    def __init__(self) -> None:
        self.wake_ups: list[object] = []

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, callback: object) -> None:
        self.wake_ups.append(callback)

    def run(self) -> None:
        while self.wake_ups:
            self.wake_ups.pop(0)()  # type: ignore[operator]


@pytest.fixture
def loop() -> CountingLoop:
    return CountingLoop()


def test_a_burst_of_posts_wakes_the_loop_once(loop: CountingLoop) -> None:
    hop, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    for number in range(100):
        hop.post(seen.append, number)

    assert len(loop.wake_ups) == 1
    loop.run()
    assert seen == list(range(100))


def test_a_post_after_the_burst_wakes_it_again(loop: CountingLoop) -> None:
    hop, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]
    hop.post(seen.append, 1)
    loop.run()

    hop.post(seen.append, 2)
    loop.run()

    assert seen == [1, 2]


def test_a_post_made_while_the_burst_runs_is_not_lost(loop: CountingLoop) -> None:
    hop, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    hop.post(lambda: hop.post(seen.append, "second"))
    loop.run()

    assert seen == ["second"]


def test_a_post_that_fails_does_not_stop_the_others(loop: CountingLoop, caplog: pytest.LogCaptureFixture) -> None:
    hop, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    with caplog.at_level(logging.ERROR):
        hop.post(int, "no number")
        hop.post(seen.append, "after")
        loop.run()

    assert seen == ["after"]
    assert "failed" in caplog.text


def test_it_wakes_a_real_loop() -> None:
    async def conversation() -> str:
        future = asyncio.get_running_loop().create_future()
        hop = LoopQueue(asyncio.get_running_loop())
        await asyncio.to_thread(hop.post, future.set_result, "rung")
        return await future

    assert asyncio.run(conversation()) == "rung"
