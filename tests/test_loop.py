"""The loop and gevent's hub run in turn, and neither starves the other."""

from __future__ import annotations

import pytest

from stack import converse

PREAMBLE = """
from gevent import monkey
monkey.patch_all()
import asyncio, gevent, os, socket
from ringback.web.loop import Loop

gevent.spawn_later(10, print, "too late")

async def wait(future):
    return await asyncio.wait_for(future, 20)

"""

BEGINNING = """
loop = asyncio.get_running_loop()
future = loop.create_future()
"""


def run(conversation: str) -> str:
    """Run this coroutine's body on our loop in a separate, patched process; return its output."""
    return converse(PREAMBLE, BEGINNING + conversation, runner="Loop().run_until_complete").stdout


@pytest.mark.parametrize("spawn", ["gevent.spawn_later(0.05, {})", "gevent.get_hub().threadpool.spawn({})"])
def test_greenlets_and_threads_wake_the_loop(spawn: str) -> None:
    work = spawn.format("loop.call_soon_threadsafe, future.set_result, 'awake'")

    assert run(f"{work}\nprint(await wait(future))") == "awake\n"


def test_a_wake_up_while_it_runs_is_not_lost() -> None:
    assert run("loop.call_soon_threadsafe(future.set_result, 'awake')\nprint(await wait(future))") == "awake\n"


def test_signals_wake_the_loop() -> None:
    assert (
        run(
            """
import signal
loop.add_signal_handler(signal.SIGUSR1, future.set_result, "awake")
gevent.get_hub().threadpool.spawn(os.kill, os.getpid(), signal.SIGUSR1)
print(await wait(future))
"""
        )
        == "awake\n"
    )


@pytest.mark.parametrize(
    "something",
    [
        "gevent.spawn(future.set_result, 'done')",
        "ours, theirs = socket.socketpair(); loop.add_reader(ours.fileno(), future.cancel); theirs.send(b'x')",
    ],
    ids=["a greenlet", "a socket"],
)
def test_the_hub_has_its_turn_though_there_is_always_something_to_call(something: str) -> None:
    assert (
        run(
            f"""
async def spin():
    while not future.done():
        await asyncio.sleep(0)
{something}
await wait(spin())
print("done")
"""
        )
        == "done\n"
    )
