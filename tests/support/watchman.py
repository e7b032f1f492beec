"""Reports each wait of the loop's greenlet outside the selector: the loop must wait for events only."""

from __future__ import annotations

import asyncio
import sys
import traceback

import greenlet

#: The message about a wait of the loop.
ALARM = "THE LOOP WAITS"

#: The functions that may wait: for the next event, and while the process starts or ends.
ALLOWED = {
    ("selectors.py", "select"),
    ("switchboard.py", "start"),
    ("netutil.py", "bind_sockets"),
    ("switchboard.py", "stop"),
}


def watch() -> None:
    """From now on, report each wait of this greenlet, the loop's, outside these functions."""
    loops = greenlet.getcurrent()

    def on_switch(event: str, switch: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        origin, _ = switch
        if origin is not loops or asyncio._get_running_loop() is None:
            return
        codes = (frame.f_code for frame, _ in traceback.walk_stack(origin.gr_frame))
        if not ALLOWED.intersection((code.co_filename.rpartition("/")[2], code.co_name) for code in codes):
            print(ALARM, *traceback.format_stack(origin.gr_frame), sep="\n", file=sys.stderr, flush=True)

    greenlet.settrace(on_switch)
