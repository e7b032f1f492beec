"""The part of the benchmark on Redis, as broker and for results. ``python -m benchmarks.on_redis`` runs it alone."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from functools import partial
from importlib.metadata import version
from typing import Any

from redis import Redis as Client

from benchmarks import checks, environments, floor, load, redis_feed, redis_floor, report, targets
from benchmarks.contenders import HELLO, Contender
from benchmarks.meter import Figures
from benchmarks.plan import Plan, chosen
from benchmarks.redis_contenders import BOTH, CONTENDERS, DEFAULT, OURS, RESULTS
from benchmarks.redis_stages import Stages, stages
from benchmarks.rounds import Rounds, measure
from benchmarks.stage import NotMeasured, Stage
from servers import MissingServer, RabbitMQ, Redis


def run(rabbitmq: RabbitMQ, plan: Plan, left_out: Collection[str]) -> dict[str, Any]:
    """Measure everything on a private Redis.

    :param left_out: the names of the contenders that cannot run here.
    :raises NotMeasured: Redis is not installed.
    """
    try:
        server = Redis("--appendfsync", "everysec")  # Redis's own default
    except MissingServer as missing:
        raise NotMeasured(str(missing)) from missing
    with server as redis, stages(rabbitmq, redis) as opened:
        turns = Turns(opened, (contender for contender in CONTENDERS if contender.name not in left_out))
        for _ in range(plan.rounds):
            turns.play(rabbitmq, plan)
        return {"versions": versions(redis), **turns.results(), "workers": workers(opened, plan)}


class Turns:
    """The contenders of all workers in turn, round after round.

    :param opened: the functions that open the workers' stages.
    """

    def __init__(self, opened: Stages, contenders: Iterable[Contender]) -> None:
        self._opened = opened
        by_stage: dict[tuple[str, str], list[Contender]] = {}
        for contender in contenders:
            by_stage.setdefault((contender.group, contender.worker), []).append(contender)
        self._rounds = {key: Rounds(members) for key, members in by_stage.items()}

    def play(self, rabbitmq: RabbitMQ, plan: Plan) -> None:
        """Run another round."""
        with self._opened[OURS]() as stage:
            floors = measure_floors(stage, rabbitmq.port, plan)
        for (group, worker), rounds in self._rounds.items():
            with self._opened[worker]() as stage:
                rounds.play(stage, plan, floors[group])

    def results(self) -> dict[str, Any]:
        """The medians, every figure of every round, and what went wrong."""
        every = self._rounds.values()
        return {
            "floor": {group: rounds.floor() for (group, _), rounds in self._rounds.items()},
            "contenders": {name: figures for rounds in every for name, figures in rounds.medians().items()},
            "by_round": {name: figures for rounds in every for name, figures in rounds.all().items()},
            "failures": [failure for rounds in every for failure in rounds.failures],
        }


def measure_floors(stage: Stage, amqp_port: int, plan: Plan) -> dict[str, Figures]:
    """The floor of each group, measured while the project's worker is as busy as with a contender."""
    url, count = stage.variables["BROKER_URL"], plan.floor_messages
    with redis_feed.running(url):
        shared = {"http": measure(HELLO, stage, plan.seconds)["web"], "consume": redis_floor.consume(url, count)}
        publish = {BOTH: redis_floor.publish(url, count), RESULTS: floor.publish(amqp_port, count)}
    return {group: {**shared, "publish": spent} for group, spent in publish.items()}


def workers(opened: Stages, plan: Plan) -> Figures:
    """CPU milliseconds for a task of the project's worker, and of one with Celery's defaults."""
    with opened[OURS]() as ours, opened[DEFAULT]() as default:
        pairs = {"ours": ours, "default": default}
        return checks.by_turns({name: (stage.worker, feeder(stage)) for name, stage in pairs.items()}, plan)


def feeder(stage: Stage) -> checks.Feeder:
    """A function that calls the task of this stage's worker as often as it is told."""
    return partial(redis_feed.calls, stage.variables["BROKER_URL"])


def versions(redis: Redis) -> dict[str, str]:
    """The versions of Redis and of its client."""
    with Client.from_url(redis.url) as client:
        return {"redis": client.info("server")["redis_version"], "redis-py": version("redis")}


def main(plan: Plan) -> int:
    """Measure this part and print it; return 1 if an answer was wrong or missing, 2 if a program is missing."""
    try:
        load.program()
        with RabbitMQ() as rabbitmq:
            left_out = environments.ready(CONTENDERS)
            results = {"redis": run(rabbitmq, plan, left_out), "left_out": left_out}
    except (load.LoadError, MissingServer, NotMeasured) as missing:
        print(f"ringback: {missing}", file=sys.stderr)
        return 2
    judged = targets.judge(results, targets.ON_REDIS)
    print(report.redis(results), report.targets(judged), sep="\n\n")
    return 1 if results["redis"]["failures"] else 0


if __name__ == "__main__":
    sys.exit(main(chosen()))
