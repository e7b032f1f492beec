"""The extent of the benchmark: everything, or with ``QUICK=1`` what fits into four minutes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Plan:
    """The sizes of all parts. Times are in seconds.

    :param held: how many requests are held at once, and in how many waves.
    """

    quick: bool
    folder: Path
    rounds: int
    seconds: int
    floor_messages: int
    held: dict[int, int]
    soak_seconds: int
    paced_seconds: int
    worker_messages: int
    scaling_seconds: int


FULL = Plan(
    quick=False,
    folder=RESULTS,
    rounds=5,
    seconds=3,
    floor_messages=5000,
    held={10: 40, 100: 20, 1000: 3, 10_000: 1},
    soak_seconds=30,
    paced_seconds=20,
    worker_messages=10_000,
    scaling_seconds=10,
)

QUICK = Plan(
    quick=True,
    folder=RESULTS / "quick",
    rounds=1,
    seconds=1,
    floor_messages=2000,
    held={10: 1, 100: 1, 1000: 1},
    soak_seconds=5,
    paced_seconds=3,
    worker_messages=2000,
    scaling_seconds=3,
)


def chosen() -> Plan:
    """The plan that the environment chooses."""
    return QUICK if os.environ.get("QUICK", "0") not in ("", "0") else FULL
