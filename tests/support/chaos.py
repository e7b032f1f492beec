"""Steady load on a cluster whose queue leaders are killed, and what became of each request: ``make chaos``.

An asyncio loop asks; the cluster is handled on threads.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from client import Answer, Client, first_success, run
from cluster import Cluster
from stack import Web, Worker

QUEUE = "chaos"
RELAYS = 100  # a second; every tenth has a nap of 1 to 3 s beside it, so that 20 requests are held at any time
CALM = 10.0  # seconds of load before each kill, and after the last
DOWN = 15.0  # seconds until a killed node is started again
DEADLINE = 25  # seconds: who is not answered by then was forgotten
LONGEST_GAP = 10.0  # seconds without a success that a kill may cost
LONGEST_NO = 5.0  # seconds until a request is refused: the publish time-out, and some more for a busy machine

#: Where two workers and the web process begin. The queue's leader is the first one's node.
FIRST = {"to the node that dies": (0, 0, 0), "to one node each": (0, 1, 2)}


@dataclass
class Asked:
    """A request: what its task is called with, which no other is, what it should be answered, and what it was."""

    argument: str
    expected: str
    answer: Answer

    @property
    def fate(self) -> str:
        """``right`` or ``wrong``, or else the status."""
        if self.answer.status != 200:
            return str(self.answer.status)
        return "right" if self.answer.body == self.expected else "wrong"


@dataclass
class Phase:
    """A stretch of time, and what was asked in it."""

    name: str
    began: float
    ended: float = 0.0
    asked: list[Asked] = field(default_factory=list)


class Report:
    """What became of everything.

    :param runs: how often tasks were begun, by their argument.
    """

    def __init__(self, phases: list[Phase], runs: Counter[str]) -> None:
        self.phases, self.runs = phases, runs
        self.asked = [asked for phase in phases for asked in phase.asked]
        self.refused = [asked for asked in self.asked if asked.fate == "503"]
        # Neither answered nor refused, so the broker had confirmed them.
        self.forgotten = [asked for asked in self.asked if asked.fate not in ("right", "503")]

    def __str__(self) -> str:
        lost = sum(not self.runs[asked.argument] for asked in self.forgotten)
        twice = sum(count > 1 for count in self.runs.values())
        all_the_same = sum(self.runs[asked.argument] > 0 for asked in self.refused)
        lines = [
            f"{'':28}  asked  right  wrong   503   504     p50      p99  no success for",
            *map(self._line, self.phases),
            f"confirmed and never run: {lost}; run twice: {twice}; refused and run all the same: {all_the_same}",
            *(f"FAILED: {failure}" for failure in self.failures()[:20]),
        ]
        return "\n".join(lines)

    def failures(self) -> list[str]:
        """What was promised and not kept."""
        gaps = {phase.name: self.gap(phase) for phase in self.phases}
        slow = [asked for asked in self.refused if asked.answer.took > LONGEST_NO]
        return [
            *(f"neither answered right nor refused: {asked}" for asked in self.forgotten),
            *(f"refused late: {asked}" for asked in slow),
            *(f"no success for {gap:.1f} s: {name}" for name, gap in gaps.items() if gap > LONGEST_GAP),
        ]

    def gap(self, phase: Phase) -> float:
        """The longest time without a success in a phase."""
        successes = [asked.answer.received for asked in self.asked if asked.fate == "right"]
        times = sorted([phase.began, phase.ended, *(time for time in successes if phase.began < time < phase.ended)])
        return max(later - earlier for earlier, later in pairwise(times))

    def _line(self, phase: Phase) -> str:
        fates = Counter(asked.fate for asked in phase.asked)
        took = [asked.answer.took for asked in phase.asked if asked.fate == "right" and asked.argument.startswith("r:")]
        cuts = statistics.quantiles(took, n=100) if len(took) > 1 else [float("nan")] * 99
        counts = f"{len(phase.asked):7}{fates['right']:7}{fates['wrong']:7}{fates['503']:6}{fates['504']:6}"
        return f"{phase.name:28}{counts}{cuts[49]:6.3f} s{cuts[98]:7.3f} s{self.gap(phase):14.2f} s"


class Load:
    """Asks steadily until it is told that it is enough."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)
        self._enough = asyncio.Event()
        self.phases: list[Phase] = []

    def enter(self, name: str) -> None:
        """Begin a phase, and end the one before."""
        now = time.monotonic()
        if self.phases:
            self.phases[-1].ended = now
        self.phases.append(Phase(name, now))

    def stop(self) -> None:
        """Ask no more."""
        self._enough.set()
        self.phases[-1].ended = time.monotonic()

    async def go(self) -> None:
        """Ask, and then wait until all is answered."""
        began, number, asking = time.monotonic(), 0, []
        while not self._enough.is_set():
            number += 1
            asking.append(asyncio.create_task(self._relay(number)))
            if number % 10 == 0:
                asking.append(asyncio.create_task(self._nap(number)))
            await asyncio.sleep(max(0.0, began + number / RELAYS - time.monotonic()))
        await asyncio.gather(*asking)

    async def _relay(self, number: int) -> None:
        body = f"r:{number % 1000:03}:{number}"
        await self._ask("/", body, body[2:5], method="POST", body=body)

    async def _nap(self, number: int) -> None:
        seconds = str(1 + number % 20_000 / 10_000)
        await self._ask(f"/sleep/{seconds}/{DEADLINE}", seconds, seconds)

    async def _ask(self, path: str, argument: str, expected: str, **options: str) -> None:
        asked = self.phases[-1].asked
        asked.append(Asked(argument, expected, await self._client.fetch(path, timeout=DEADLINE + 10, **options)))


async def trouble(cluster: Cluster, load: Load) -> None:
    """Kill the leader of the tasks' queue, start it again, and once more with the next one."""
    load.enter("before")
    await asyncio.sleep(CALM)
    for kill in ("first", "second"):
        leader = await asyncio.to_thread(cluster.leader_of, QUEUE)
        load.enter(f"{kill} kill: node {cluster.nodes.index(leader) + 1}")
        await asyncio.to_thread(leader.kill)
        await asyncio.sleep(DOWN)
        await asyncio.to_thread(cluster.start, leader)
        load.enter(f"after the {kill}: all in sync")
        await asyncio.sleep(CALM)
    load.stop()


async def converse(cluster: Cluster, url: str) -> list[Phase]:
    """The whole course; returns its phases."""
    await first_success(Client(url))
    load = Load(url)
    await asyncio.gather(trouble(cluster, load), load.go())
    return load.phases


def wreak(cluster: Cluster, first: Sequence[int]) -> Report:
    """Start everything, on private ports, and let it happen.

    :param first: the nodes that each worker and the web process connect to while they can.
    """
    with TemporaryDirectory() as folder, cluster:
        record = Path(folder) / "record"
        variables = {"TASK_QUEUE": QUEUE, "TASK_QUEUE_TYPE": "quorum", "RECORD": str(record)}
        variables["RINGBACK_DEADLINE"] = str(DEADLINE)
        urls = [cluster.url(node) for node in first]
        one, two = (Worker(BROKER_URL=url, **variables) for url in urls[:2])
        with one, two, Web(BROKER_URL=urls[2], **variables) as web:
            phases = run(converse(cluster, web.url))
        return Report(phases, Counter(record.read_text().split()))


if __name__ == "__main__":
    reports = []
    for name, first in FIRST.items():
        print(f"connections {name}", flush=True)
        reports.append(wreak(Cluster(), first))
        print(reports[-1], flush=True)
    sys.exit(any(report.failures() for report in reports))
