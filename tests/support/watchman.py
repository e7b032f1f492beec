"""Sees where the loop waits, by what its greenlet gives way for."""

from __future__ import annotations

import asyncio
import sys
import traceback

import greenlet

#: What a process says that has made the loop wait.
ALARM = "THE LOOP WAITS"

#: Where it may: for the next event, and while the process starts or ends.
ALLOWED = {
    ("selectors.py", "select"),
    ("switchboard.py", "start"),
    ("netutil.py", "bind_sockets"),
    ("switchboard.py", "stop"),
}


def watch() -> None:
    """From now on, say so when this greenlet, the loop's, gives way anywhere but where it may."""
    loops = greenlet.getcurrent()

    def on_switch(event: str, switch: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        origin, _ = switch
        if origin is not loops or asyncio._get_running_loop() is None:
            return
        codes = (frame.f_code for frame, _ in traceback.walk_stack(origin.gr_frame))
        if not ALLOWED.intersection((code.co_filename.rpartition("/")[2], code.co_name) for code in codes):
            print(ALARM, *traceback.format_stack(origin.gr_frame), sep="\n", file=sys.stderr, flush=True)

    greenlet.settrace(on_switch)
