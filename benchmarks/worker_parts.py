"""The saving of each part of ``ringback.worker.configure``: a gevent worker's CPU time for a task without that part."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import cpu, feed
from benchmarks.designs.parts import NONE, PARTS
from benchmarks.stage import wait_for_consumer
from servers import RabbitMQ
from stack import Process

ROUNDS, MESSAGES = 5, 2000
FLAGS = "--pool gevent --concurrency 500 --without-gossip --without-mingle --without-heartbeat"


@contextmanager
def worker(broker: RabbitMQ, queue: str, configure: bool, without: str) -> Iterator[Process]:
    """Another project's worker on a queue."""
    command = [
        sys.executable,
        "-m",
        "gevent.monkey",
        "--module",
        "celery",
        "-A",
        "benchmarks.designs.configured_worker",
    ]
    flags = ["worker", *FLAGS.split(), "--queues", queue, "--hostname", f"{queue}@%h"]
    variables = {"BROKER_URL": broker.url, "CONFIGURE": str(int(configure)), "WITHOUT": without}
    with Process([*command, *flags], ready="", **variables) as process:
        wait_for_consumer(broker, queue)
        yield process


def main() -> None:
    """Measure all workers in turn, several rounds, and print the table of docs/worker.md."""
    kinds = {"stock": (False, NONE), "all": (True, NONE), **{part: (True, part) for part in PARTS if part}}
    spent: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    with RabbitMQ() as broker, ExitStack() as stack:
        running = {}
        for number, (kind, (configure, without)) in enumerate(kinds.items()):
            queue = f"kind-{number}"
            running[kind] = queue, stack.enter_context(worker(broker, queue, configure, without))
            feed.calls(broker.port, queue, 300)  # the first ones cost more
        for _ in range(ROUNDS):
            for kind, (queue, process) in running.items():
                before, began = cpu.spent(process.pid), time.monotonic()
                feed.calls(broker.port, queue, MESSAGES)
                took = time.monotonic() - began
                spent[kind].append(((cpu.spent(process.pid) - before) / MESSAGES, MESSAGES / took))
    print("| worker | CPU ms for a task | tasks/s |\n|---|--:|--:|")
    names = {"stock": "Celery's own settings", "all": "`configure`"}
    for kind, rounds in spent.items():
        milliseconds, rate = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"| {names.get(kind, f'`configure` without {kind}')} | {milliseconds:.2f} | {rate:.0f} |")


if __name__ == "__main__":
    main()
