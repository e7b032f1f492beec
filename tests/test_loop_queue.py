"""Functions that other greenlets post reach the loop in order, and a burst wakes the loop once."""

from __future__ import annotations

import asyncio
import logging

import pytest
from gevent import GreenletExit

from ringback.loop_queue import CALLS_PER_PASS, LoopQueue
from stack import converse


class CountingLoop:
    """A loop that records its wake-ups, and runs when the test calls ``run``."""

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
    queue, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    for number in range(100):
        queue.post(seen.append, number)

    assert len(loop.wake_ups) == 1
    loop.run()
    assert seen == list(range(100))


def test_a_post_after_the_burst_wakes_the_loop_again(loop: CountingLoop) -> None:
    queue, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]
    queue.post(seen.append, 1)
    loop.run()

    queue.post(seen.append, 2)
    loop.run()

    assert seen == [1, 2]


def test_a_post_made_while_the_burst_runs_is_not_lost(loop: CountingLoop) -> None:
    queue, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    queue.post(lambda: queue.post(seen.append, "second"))
    loop.run()

    assert seen == ["second"]


def test_a_post_that_fails_does_not_stop_the_others(loop: CountingLoop, caplog: pytest.LogCaptureFixture) -> None:
    queue, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    with caplog.at_level(logging.ERROR):
        queue.post(int, "no number")
        queue.post(seen.append, "after")
        loop.run()

    assert seen == ["after"]
    assert "failed" in caplog.text


@pytest.mark.parametrize("error", [GreenletExit, KeyboardInterrupt, SystemExit])
def test_a_post_that_ends_the_pass_does_not_strand_the_others(loop: CountingLoop, error: type[BaseException]) -> None:
    queue, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    def fail() -> None:
        raise error

    queue.post(fail)
    queue.post(seen.append, "behind it")
    with pytest.raises(error):
        loop.run()
    loop.run()
    queue.post(seen.append, "later")
    loop.run()

    assert seen == ["behind it", "later"]


def test_the_loop_gets_its_turn_between_two_passes(loop: CountingLoop) -> None:
    queue, seen = LoopQueue(loop), []  # type: ignore[arg-type, var-annotated]

    def post_again() -> None:
        seen.append("again")
        queue.post(post_again)

    queue.post(post_again)
    for number in range(CALLS_PER_PASS):
        queue.post(seen.append, number)

    loop.wake_ups.pop(0)()  # type: ignore[operator]
    assert len(seen) == CALLS_PER_PASS
    loop.wake_ups.pop(0)()  # type: ignore[operator]
    assert seen[-2:] == [CALLS_PER_PASS - 1, "again"]
    assert len(loop.wake_ups) == 1


def test_a_killed_greenlet_ends_the_wait_for_its_result() -> None:
    preamble = """
from gevent import monkey
monkey.patch_all()
import asyncio
from gevent import GreenletExit
from ringback.loop_queue import LoopQueue, run_in_greenlet

def be_killed():
    raise GreenletExit
"""
    conversation = """
try:
    await run_in_greenlet(LoopQueue(asyncio.get_running_loop()), be_killed)
except RuntimeError as error:
    print(error)
"""
    assert "killed: GreenletExit" in converse(preamble, conversation).stdout


def test_a_post_wakes_a_real_loop() -> None:
    async def conversation() -> str:
        future = asyncio.get_running_loop().create_future()
        queue = LoopQueue(asyncio.get_running_loop())
        await asyncio.to_thread(queue.post, future.set_result, "rung")
        return await future

    assert asyncio.run(conversation()) == "rung"
