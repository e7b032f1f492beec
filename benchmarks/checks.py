"""Measurements outside the rounds: 1000 connections, a tenth of the load, the worker against Celery's defaults."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

from benchmarks import cpu, feed, paced, ready
from benchmarks.contenders import CONTENDERS
from benchmarks.load import wrk
from benchmarks.meter import Figures
from benchmarks.plan import Plan
from benchmarks.rounds import check
from benchmarks.stage import Stage, warm
from stack import Process

QUEUE = "celery"  # the queue of the project's worker
DEFAULT_QUEUE = "default"  # the queue of the other worker, since both run

Feeder = Callable[[int], object]  # calls the task that many times, and returns after the last result


def soak(stage: Stage, plan: Plan) -> Figures:
    """The relay under 1000 connections.

    :raises NotRight: an answer was wrong, or missing.
    """
    with warm(CONTENDERS[0], stage.broker) as web:
        load = wrk(web.url, "relay", 1000, plan.soak_seconds, threads=4)
        check("1000 connections", load)
    return {name: value for name, value in asdict(load).items() if name != "first_wrong"} | {"rate": load.rate}


def light(stage: Stage, plan: Plan, rate: float) -> Figures:
    """Milliseconds for an answer at this rate, over HTTP and by a bare client: medians of alternating periods."""
    https, bares = [], []
    with warm(CONTENDERS[0], stage.broker) as web:
        for _ in range(plan.rounds):
            https += paced.paced(web.url, rate, plan.paced_seconds / plan.rounds)
            bares += feed.paced(stage.broker.port, QUEUE, rate, plan.paced_seconds / plan.rounds)
    medians = {"p50": 1000 * statistics.median(https), "bare_p50": 1000 * statistics.median(bares)}
    return {"rate": rate, **medians, "p99": 1000 * statistics.quantiles(https, n=100)[98]}


def workers(stage: Stage, plan: Plan) -> Figures:
    """CPU milliseconds for a task of the project's worker, and of one with Celery's defaults."""
    call = partial(feed.calls, stage.broker.port)
    with default_worker(DEFAULT_QUEUE, BROKER_URL=stage.broker.url) as default:
        return by_turns(
            {"ours": (stage.worker, partial(call, QUEUE)), "default": (default, partial(call, DEFAULT_QUEUE))}, plan
        )


def by_turns(workers: dict[str, tuple[Process, Feeder]], plan: Plan) -> Figures:
    """CPU milliseconds for a task of each worker: medians of alternating periods.

    :param workers: each worker, with the function that calls its task.
    """
    for _, feeder in workers.values():
        feeder(200)  # the first ones cost more
    spent: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(plan.rounds):
        for name, (process, feeder) in workers.items():
            spent[name].append(_each(process.pid, feeder, plan.worker_messages // plan.rounds))
    return {name: statistics.median(times) for name, times in spent.items()}


def _each(pid: int, feeder: Feeder, count: int) -> float:
    began = cpu.spent(pid)
    feeder(count)
    return (cpu.spent(pid) - began) / count


@contextmanager
def default_worker(queue: str, **variables: str) -> Iterator[Process]:
    """A gevent worker with Celery's own settings and flags."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.designs.default_worker", "worker"]
    flags = ["--pool", "gevent", "--concurrency", "500", "--queues", queue, "--hostname", "default@%h"]
    with Process([*command, *flags], ready=ready.READY, **variables) as process:
        yield process
