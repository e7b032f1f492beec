"""The CPU time that a request costs the web process, the worker and the broker."""

from __future__ import annotations

import time

from benchmarks import cpu
from benchmarks.contenders import Contender
from benchmarks.load import Load
from benchmarks.stage import Stage

Figures = dict[str, float]

QUIET = 0.15  # seconds in which a web process with nothing to do uses less than IDLE; longer than the ladder's task
IDLE = 2.0  # milliseconds
PATIENCE = 1.5  # seconds for that


class Meter:
    """Reads the clocks from when the web process has nothing to do, on."""

    def __init__(self, web: int, stage: Stage) -> None:
        self._pids = {"web": web, "worker": stage.worker.pid, "broker": stage.broker.pids[-1]}
        self._settle()
        self._began = self._spent()

    def each(self, load: Load, contender: Contender) -> Figures:
        """Milliseconds for each piece of work of a load that has just ended.

        What wrk did not wait for any more has been worked on, too, so all that it sent counts once that is over. A
        design that blocks has not begun with that.
        """
        if not contender.blocks:
            self._settle()
        count = load.right if contender.blocks else load.sent / contender.requests
        return {name: (now - self._began[name]) / max(count, 1) for name, now in self._spent().items()}

    def _settle(self) -> None:
        end = time.monotonic() + PATIENCE
        before = cpu.spent(self._pids["web"])
        while time.monotonic() < end:
            time.sleep(QUIET)  # a measure, not a wait
            now = cpu.spent(self._pids["web"])
            if now - before < IDLE:
                return
            before = now

    def _spent(self) -> Figures:
        return {name: cpu.spent(pid) for name, pid in self._pids.items()}
