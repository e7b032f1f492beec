"""CPU time and memory of processes, from Linux' ``/proc``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def tree(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    for task in threads(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def threads(pid: int) -> list[Path]:
    """The folders of a process's threads; none if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return list((PROC / str(pid) / "task").iterdir())
    return []


def spent(pid: int) -> float:
    """CPU time of a process and its descendants, in milliseconds, without threads that have ended."""
    return sum(of_thread(task) for member in tree(pid) for task in threads(member))


def of_thread(task: Path) -> float:
    """CPU time of a thread, in milliseconds. ``schedstat`` counts nanoseconds, ``stat`` hundredths of a second."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return int((task / "schedstat").read_text().split()[0]) / 1e6
    return 0.0


def resident(pid: int) -> int:
    """Memory of a process and its descendants, in bytes; shared memory counts for each."""
    return sum(_resident(member) for member in tree(pid))


def _resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", (PROC / str(pid) / "status").read_text())
    return 1024 * int(found[1]) if found else 0


def model() -> str:
    """The processor's name."""
    found = re.search(r"model name\s*: (.*)", (PROC / "cpuinfo").read_text())
    return found[1] if found else "unknown"


def memory() -> int:
    """The machine's memory, in bytes."""
    found = re.search(r"MemTotal:\s+(\d+) kB", (PROC / "meminfo").read_text())
    return 1024 * int(found[1]) if found else 0
