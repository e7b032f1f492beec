"""The whole run: ``make bench``, or ``make bench QUICK=1``."""

from __future__ import annotations

import sys

from benchmarks import environments, load, machine, report
from benchmarks.contenders import CONTENDERS
from benchmarks.plan import Plan, chosen
from benchmarks.rounds import Rounds
from benchmarks.stage import Stage, worker
from servers import MissingServer, RabbitMQ


def main(plan: Plan) -> int:
    """Measure everything and write it down; 1 if an answer was wrong or missing, 2 if a program is."""
    try:
        load.program()
        broker = RabbitMQ()
    except (load.LoadError, MissingServer) as missing:
        print(f"ringback: {missing}", file=sys.stderr)
        return 2
    with broker:
        results = run(broker, plan)
    report.write(results, plan.folder)
    print(report.markdown(results))
    return 1 if results["failures"] else 0


def run(broker: RabbitMQ, plan: Plan) -> report.Results:
    """Measure everything."""
    left_out = environments.ready(CONTENDERS)
    results = {**machine.describe(broker), "quick": plan.quick, "rounds": plan.rounds, "left_out": left_out}
    rounds = Rounds(contender for contender in CONTENDERS if contender.name not in left_out)
    with worker(broker) as process:
        for _ in range(plan.rounds):
            rounds.play(Stage(broker, process), plan)
    results |= {"floor": rounds.floor(), "contenders": rounds.medians(), "by_round": rounds.all()}
    return {**results, "failures": rounds.failures}


if __name__ == "__main__":
    sys.exit(main(chosen()))
