"""The CPU time that a request costs the web process, the worker and the broker."""

from __future__ import annotations

import time

from benchmarks import cpu
from benchmarks.contenders import Contender
from benchmarks.load import Load
from benchmarks.stage import Stage

Figures = dict[str, float]

QUIET = 0.15  # seconds in which an idle web process uses less than IDLE; longer than the ladder's task
IDLE = 2.0  # milliseconds
PATIENCE = 1.5  # seconds until it has to be idle


class Meter:
    """Measures CPU times, from a moment when the web process is idle."""

    def __init__(self, web: int, stage: Stage) -> None:
        self._pids = {"web": [web], "worker": [stage.worker.pid], "broker": stage.servers}
        self._settle()
        self._began = {name: self._spent(name) for name in self._pids}

    def each(self, load: Load, contender: Contender) -> Figures:
        """Milliseconds for each piece of work of a load that has just ended.

        The process also works on requests that wrk no longer waits for, so all sent requests count, once the process is
        idle. A design that blocks has not started those.
        """
        if not contender.blocks:
            self._settle()
        count = load.right if contender.blocks else load.sent / contender.requests
        return {name: (self._spent(name) - began) / max(count, 1) for name, began in self._began.items()}

    def _settle(self) -> None:
        end = time.monotonic() + PATIENCE
        before = self._spent("web")
        while time.monotonic() < end:
            time.sleep(QUIET)  # this sleep is the measured period
            now = self._spent("web")
            if now - before < IDLE:
                return
            before = now

    def _spent(self, name: str) -> float:
        return sum(map(cpu.spent, self._pids[name]))
