"""Run all contenders in turn, round after round, so that a disturbance of the machine affects them all."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable

from benchmarks import cpu, feed, floor
from benchmarks.contenders import HELLO, Contender
from benchmarks.load import Load, wrk
from benchmarks.meter import Figures, Meter
from benchmarks.plan import Plan
from benchmarks.stage import NotRight, Stage, warm


class Rounds:
    """The results of each contender, and the floor, in each round.

    :param contenders: the contenders to run.
    """

    def __init__(self, contenders: Iterable[Contender]) -> None:
        self._contenders = list(contenders)
        self._figures: dict[str, list[Figures]] = defaultdict(list)
        self._floors: list[Figures] = []
        self.failures: list[str] = []

    def play(self, stage: Stage, plan: Plan, floor: Figures | None = None) -> None:
        """Run another round.

        :param floor: the floor of this round; without it, that of RabbitMQ is measured.
        """
        floor = floor or self._floor(stage, plan)
        self._floors.append(floor)
        for contender in self._contenders:
            try:
                figures = measure(contender, stage, plan.seconds)
            except NotRight as failure:
                self.failures.append(str(failure))
                print(f"FAILED: {failure}", flush=True)
            else:
                figures["to_floor"] = figures["web"] / sum(floor.values())
                self._figures[contender.name].append(figures)
                print(_line(contender.label, figures), flush=True)

    def _floor(self, stage: Stage, plan: Plan) -> Figures:
        """Measure the floor, with worker and broker as busy as with a contender, since shared caches cost CPU time."""
        with feed.running(stage.broker.port):
            return {"http": measure(HELLO, stage, plan.seconds)["web"], **self._bare(stage, plan)}

    def _bare(self, stage: Stage, plan: Plan) -> Figures:
        port, count = stage.broker.port, plan.floor_messages
        return {"publish": floor.publish(port, count), "consume": floor.consume(port, count)}

    def floor(self) -> Figures:
        """The medians of the floor, and their sum as ``total``."""
        medians = _medians(self._floors)
        return {**medians, "total": sum(medians.values())}

    def medians(self) -> dict[str, Figures]:
        """Each contender's medians; ``to_floor`` is the web process's CPU divided by the same round's floor."""
        return {name: _medians(figures) for name, figures in self._figures.items()}

    def all(self) -> dict[str, list[Figures]]:
        """Every figure of every round."""
        return dict(self._figures)


def measure(contender: Contender, stage: Stage, seconds: int) -> Figures:
    """Start a contender, load it, and end it.

    :raises NotRight: an answer was wrong, or missing.
    """
    with warm(contender, stage.broker, **stage.variables) as web:
        meter = Meter(web.pid, stage)
        load = wrk(web.url, contender.work, contender.connections, seconds)
        spent = meter.each(load, contender)
        check(contender.label, load)
        figures = {"rate": load.rate, "p50": load.p50, "p95": load.p95, "p99": load.p99, "errors": load.failures}
        return {**figures, **spent, "rss": cpu.resident(web.pid) / 2**20}


def check(label: str, load: Load) -> None:
    """Check that every answer of a run was right.

    :raises NotRight: an answer was wrong or missing.
    """
    if load.failures or not load.right:
        raise NotRight(f"{label}: {load}")


def _medians(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]} if rounds else {}


def _line(label: str, figures: Figures) -> str:
    spent = " ".join(f"{name} {figures[name]:.3f}" for name in ("web", "worker", "broker"))
    return (
        f"{label:38}{figures['rate']:7.0f}/s  p50 {figures['p50']:7.1f}  p99 {figures['p99']:7.1f} ms  CPU ms: {spent}"
    )
