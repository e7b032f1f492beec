"""The CPU time that a request costs the web process, the worker and the broker."""

from __future__ import annotations

import time

from benchmarks import cpu
from benchmarks.load import Load
from benchmarks.stage import Stage

Figures = dict[str, float]

QUIET = 0.15  # seconds in which a web process with nothing to do uses less than IDLE; longer than the ladder's task
IDLE = 2.0  # milliseconds
PATIENCE = 1.5  # seconds for that: a design that blocks works off for longer what nobody waits for any more


class Meter:
    """Reads the clocks from when the web process has nothing to do, on."""

    def __init__(self, web: int, stage: Stage) -> None:
        self._pids = {"web": web, "worker": stage.worker.pid, "broker": stage.broker.pids[-1]}
        self._settle()
        self._began = self._spent()

    def each(self, load: Load) -> Figures:
        """Milliseconds for each request of a load that has just ended.

        Requests that it did not wait for have cost, too, once the web process is done with them.
        """
        now = self._spent()
        if self._settle():
            return self._since_begin(self._spent(), load.sent)
        return self._since_begin(now, max(load.right, 1))

    def _settle(self) -> bool:
        end = time.monotonic() + PATIENCE
        before = cpu.spent(self._pids["web"])
        while time.monotonic() < end:
            time.sleep(QUIET)  # a measure, not a wait
            now = cpu.spent(self._pids["web"])
            if now - before < IDLE:
                return True
            before = now
        return False

    def _spent(self) -> Figures:
        return {name: cpu.spent(pid) for name, pid in self._pids.items()}

    def _since_begin(self, now: Figures, count: int) -> Figures:
        return {name: (now[name] - self._began[name]) / count for name in now}
