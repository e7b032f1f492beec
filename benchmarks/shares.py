"""Limit each process to a share of a core by control groups, which root can make on Linux."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.stage import NotMeasured

ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))  # version 1 has a folder for CPU time, version 2 has not
PERIOD = 20_000  # microseconds; short, so that requests do not wait for long


@contextmanager
def limited(pids: Iterable[int], share: float) -> Iterator[None]:
    """Limit each of these processes to this share of a core during the block.

    :raises NotMeasured: control groups cannot be made here.
    """
    groups: list[Path] = []
    try:
        for pid in pids:
            groups.append(_group(f"ringback-{os.getpid()}-{pid}", int(PERIOD * share)))
            (groups[-1] / "cgroup.procs").write_text(str(pid))
        yield
    except OSError as error:
        raise NotMeasured(f"control groups cannot be made here: {error}") from error
    finally:
        for group in groups:
            _remove(group)


def _group(name: str, quota: int) -> Path:
    group = next(root for root in ROOTS if root.is_dir()) / name
    group.mkdir()
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
    except OSError:
        group.rmdir()
        raise
    return group


def _remove(group: Path) -> None:
    """Move the group's processes back, and remove the group."""
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            (group.parent / "cgroup.procs").write_text(pid)
    group.rmdir()
