"""One web process and two: each gets a small share of a core, so that they are the bottleneck."""

from __future__ import annotations

import statistics
import sys

from benchmarks import cpu
from benchmarks.contenders import CONTENDERS
from benchmarks.load import wrk
from benchmarks.meter import Figures
from benchmarks.rounds import check
from benchmarks.shares import limited
from benchmarks.stage import NotMeasured, Web, wait_for_consumer, warm
from servers import RabbitMQ
from stack import Process

SHARE = 0.2  # share of a core
CONNECTIONS = 64
TURNS = 3


def measure(broker: RabbitMQ, seconds: int) -> Figures:
    """Median requests a second of one process and of two, by turns, with `benchmarks.echo` instead of the worker.

    :param seconds: total seconds for each of the two cases.
    :raises NotRight: an answer was wrong.
    :raises NotMeasured: there are not two processes, or their CPU time cannot be limited here.
    """
    with Process([sys.executable, "-m", "benchmarks.echo", str(broker.port)], ready=""):
        wait_for_consumer(broker, "celery")
        turns = [[_measure(broker, count, seconds // TURNS) for count in (1, 2)] for _ in range(TURNS)]
    one, two = map(statistics.median, zip(*turns, strict=True))
    return {"one": one, "two": two, "ratio": two / one}


def _measure(broker: RabbitMQ, count: int, seconds: int) -> float:
    with warm(CONTENDERS[0], broker, WEB_CONCURRENCY=str(count)) as web, limited(_serving(web, count), SHARE):
        load = wrk(web.url, "relay", CONNECTIONS, seconds)
        check(f"{count} web processes", load)
        return load.rate


def _serving(web: Web, count: int) -> list[int]:
    """The pids of the serving processes: the process itself, or its children if it has forked.

    :raises NotMeasured: there are fewer serving processes.
    """
    pids = list(cpu.tree(web.pid))
    serving = pids[1:] if len(pids) > count else pids
    if len(serving) != count:
        raise NotMeasured(f"WEB_CONCURRENCY={count} makes {len(serving)} web processes")
    return serving
