"""Kill a cluster's queue leaders under steady load, and report how each request ended: ``make chaos``.

An asyncio loop sends the requests; threads control the cluster.
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
DEADLINE = 25  # seconds: a request without an answer by then counts as lost
LONGEST_GAP = 10.0  # seconds without a success that a kill may cost
LONGEST_NO = 5.0  # seconds until a request is refused: the publish time-out, and some more for a busy machine

#: The nodes that two workers and the web process connect to first. The first worker's node leads the queue.
FIRST = {"to the node that dies": (0, 0, 0), "to one node each": (0, 1, 2)}


@dataclass
class Asked:
    """A request: its task's argument, which is unique, the expected answer, and the actual one."""

    argument: str
    expected: str
    answer: Answer

    @property
    def fate(self) -> str:
        """``right`` or ``wrong`` for a 200, otherwise the status."""
        if self.answer.status != 200:
            return str(self.answer.status)
        return "right" if self.answer.body == self.expected else "wrong"


@dataclass
class Phase:
    """A period of the run, and the requests sent in it."""

    name: str
    began: float
    ended: float = 0.0
    asked: list[Asked] = field(default_factory=list)


class Report:
    """How all requests and runs ended.

    :param runs: how often each task was started, by its argument.
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
        """The promises that were broken."""
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
    """Sends requests at a steady rate until ``stop``."""

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
        """Send no more requests."""
        self._enough.set()
        self.phases[-1].ended = time.monotonic()

    async def send_requests(self) -> None:
        """Send requests until ``stop``, then wait for all answers."""
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


async def kill_leaders(cluster: Cluster, load: Load) -> None:
    """Kill the leader of the task queue and start it again; then do the same with the next leader."""
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


async def run_phases(cluster: Cluster, url: str) -> list[Phase]:
    """Run the load and the kills; return the phases."""
    await first_success(Client(url))
    load = Load(url)
    await asyncio.gather(kill_leaders(cluster, load), load.send_requests())
    return load.phases


def run_chaos(cluster: Cluster, first: Sequence[int]) -> Report:
    """Start cluster, workers and web process on private ports, and run the load and the kills.

    :param first: the node that each worker and the web process prefer.
    """
    with TemporaryDirectory() as folder, cluster:
        record = Path(folder) / "record"
        variables = {"TASK_QUEUE": QUEUE, "TASK_QUEUE_TYPE": "quorum", "RECORD": str(record)}
        variables["RINGBACK_DEADLINE"] = str(DEADLINE)
        urls = [cluster.url(node) for node in first]
        one, two = (Worker(BROKER_URL=url, **variables) for url in urls[:2])
        with one, two, Web(BROKER_URL=urls[2], **variables) as web:
            phases = run(run_phases(cluster, web.url))
        return Report(phases, Counter(record.read_text().split()))


if __name__ == "__main__":
    reports = []
    for name, first in FIRST.items():
        print(f"connections {name}", flush=True)
        reports.append(run_chaos(Cluster(), first))
        print(reports[-1], flush=True)
    sys.exit(any(report.failures() for report in reports))
