"""``run_on_executor`` on greenlets: only the executor wakes this loop, and nothing may block it."""

from __future__ import annotations

import pytest

from stack import converse
from watchman import ALARM

PREAMBLE = """
from gevent import monkey
monkey.patch_all()
import asyncio, time, watchman
from tornado.concurrent import run_on_executor
from examples.greenlet_executor import GreenletExecutor

class Work:
    executor = GreenletExecutor(at_once=2, waiting=2)

    running = most = 0

    @run_on_executor
    def nap(self, seconds):
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(seconds)
        self.running -= 1
        return seconds

    @run_on_executor
    def fail(self):
        raise ValueError("went wrong")

work = Work()
watchman.watch()
"""


def run(conversation: str) -> str:
    """Run this coroutine's body in a separate, patched process; return its output."""
    done = converse(PREAMBLE, conversation)
    assert ALARM not in done.stderr
    return done.stdout.strip()


def test_an_idle_loop_gets_the_result_when_it_is_there() -> None:
    assert run("print(await work.nap(0.2))") == "0.2"  # nothing else wakes the loop


def test_two_run_at_once_and_the_others_after_them() -> None:
    told = run("""
ended = await asyncio.gather(*(work.nap(0.2) for _ in range(4)))
print(len(ended), work.most)
""")

    assert told == "4 2"


@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        ("try: await work.fail()\nexcept ValueError as error: print(error)", "went wrong"),
        ("naps = [work.nap(0.1) for _ in range(4)]\ntry: work.nap(0)\nexcept Exception as no: print(no.status)", "503"),
        ("for _ in range(9): await work.nap(0)\nprint('free again')", "free again"),
    ],
)
def test_failures_and_refusals_reach_the_caller(conversation: str, said: str) -> None:
    assert run(conversation) == said
