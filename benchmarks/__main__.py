"""Run the whole benchmark: ``make bench``, or ``make bench QUICK=1``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import (
    charts,
    checks,
    environments,
    held,
    load,
    machine,
    on_redis,
    redis_contenders,
    report,
    scaling,
    targets,
)
from benchmarks.contenders import CONTENDERS
from benchmarks.meter import Figures
from benchmarks.plan import Plan, chosen
from benchmarks.rounds import Rounds
from benchmarks.stage import NotMeasured, NotRight, Stage, worker
from servers import MissingServer, RabbitMQ


def main(plan: Plan) -> int:
    """Measure everything, write the results; return 1 if an answer was wrong or missing, 2 if a program is missing."""
    try:
        load.program()
        broker = RabbitMQ()
    except (load.LoadError, MissingServer) as missing:
        print(f"ringback: {missing}", file=sys.stderr)
        return 2
    with broker:
        results = Run(broker, plan).results()
    report.write(results, plan.folder)
    charts.draw(results, plan.folder)
    print(report.markdown(results))
    return 1 if results["failures"] else 0


class Run:
    """One run of the whole benchmark."""

    def __init__(self, broker: RabbitMQ, plan: Plan) -> None:
        self._broker, self._plan = broker, plan
        self._left_out = environments.ready([*CONTENDERS, *redis_contenders.CONTENDERS])
        self._failures: list[str] = []

    def results(self) -> report.Results:
        """Measure; return the results with the targets' verdicts."""
        broker, plan = self._broker, self._plan
        with worker(broker) as process:
            measured = self._with_worker(Stage(broker, process))
        measured["growth"] = self._try("growth", lambda: held.measure(broker, plan.held))
        measured["scaling"] = self._try("scaling", lambda: scaling.measure(broker, plan.scaling_seconds))
        measured["redis"] = self._try("Redis", lambda: on_redis.run(broker, plan, self._left_out))
        self._failures += measured["redis"].get("failures", [])
        about = {**machine.describe(broker), "quick": plan.quick, "rounds": plan.rounds}
        results = {**about, **measured, "left_out": self._left_out, "failures": self._failures}
        return {**results, "targets": targets.judge(results)}

    def _with_worker(self, stage: Stage) -> dict[str, Any]:
        plan = self._plan
        rounds = Rounds(contender for contender in CONTENDERS if contender.name not in self._left_out)
        for _ in range(plan.rounds):
            rounds.play(stage, plan)
        self._failures += rounds.failures
        medians = rounds.medians()
        tenth = medians.get("callback", {"rate": 1000.0})["rate"] / 10
        return {
            "floor": rounds.floor(),
            "contenders": medians,
            "by_round": rounds.all(),
            "soak": self._try("1000 connections", lambda: checks.soak(stage, plan)),
            "light": self._try("a tenth of the load", lambda: checks.light(stage, plan, tenth)),
            "workers": self._try("workers", lambda: checks.workers(stage, plan)),
        }

    def _try(self, name: str, measure: Callable[[], Any]) -> Figures:
        """Return what this part measured; if it failed or was skipped, record the reason and return nothing."""
        print(f"{name} ...", flush=True)
        try:
            return measure()
        except NotMeasured as reason:
            self._left_out[name] = str(reason)
        except NotRight as failure:
            self._failures.append(f"{name}: {failure}")
            print(f"FAILED: {name}: {failure}", flush=True)
        return {}


if __name__ == "__main__":
    sys.exit(main(chosen()))
