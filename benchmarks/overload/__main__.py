"""Run the cases, and write a table and a chart: ``make overload``; ``QUICK=1`` takes two minutes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection

import amqp

from benchmarks import environments
from benchmarks.contenders import Contender
from benchmarks.link import channel
from benchmarks.overload import report
from benchmarks.overload.cases import CASES, PATIENCE, WHO, Case
from benchmarks.overload.load import Events, capacity, offer
from benchmarks.plan import chosen
from benchmarks.stage import PATIENCE as START
from benchmarks.stage import NotRight, Web, worker
from servers import RabbitMQ, Redis

PLAN = chosen()
SECONDS = 20 if PLAN.quick else 40

#: Seconds for which a client is measured that is alone.
ALONE = 20


def main() -> int:
    """Run all cases."""
    left_out = environments.ready(WHO)
    results: list[report.Row] = []
    for case in CASES[:1] if PLAN.quick else CASES:
        for name in case.against:
            who = next(item for item in WHO if item.name == name)
            if name not in left_out:
                results.append(measure(case, who))
                print(report.line(results[-1]), flush=True)
                if case.beside:
                    print(report.line_beside(results[-1]), flush=True)
    report.write(results, PLAN.folder)
    return 0


def measure(case: Case, who: Contender) -> report.Row:
    """Offer a case to one of them."""
    with ExitStack() as stack:
        broker: Redis | RabbitMQ = stack.enter_context(Redis("--appendfsync", "everysec") if case.redis else RabbitMQ())
        halves = 2 if case.gone is not None else 1
        shared = {"RESULT_BACKEND": broker.url if case.redis else "rpc://"}
        slots = {"WORKER_CONCURRENCY": str(case.slots // halves), "WORKER_QUEUES": ",".join(case.queue_names), **shared}
        workers = [stack.enter_context(worker(broker, **slots)) for _ in range(halves)]
        more = {"RINGBACK_DEADLINE": str(PATIENCE), "RINGBACK_QUEUES": ",".join(case.queue_names[1:]), **shared}
        webs = [stack.enter_context(Web(who, broker, **more)) for _ in range(case.processes)]
        for web in webs:
            wait_for(web)
        done = capacity([web.url for web in webs], case)
        for _ in range(case.hogs):
            stack.enter_context(hog(webs[0].pid))
        depths: list[int] = []
        events: Events = {}
        if isinstance(broker, RabbitMQ):
            link = stack.enter_context(channel(broker.port))
            for second in range(SECONDS):
                events[second] = lambda: depths.append(depth(link, case))
        if case.stopped is not None:
            events[case.stopped[0] + 0.5] = lambda: os.kill(workers[0].pid, signal.SIGSTOP)
            events[case.stopped[1] + 0.5] = lambda: os.kill(workers[0].pid, signal.SIGCONT)
        if case.gone is not None:
            events[case.gone + 0.5] = lambda: os.kill(workers[1].pid, signal.SIGKILL)
        urls, alone = [web.url for web in webs], []
        if case.beside:
            alone = offer(urls, replace(case, times=case.beside, beside=0.0, asynchronous=False), ALONE, {})
        answers = offer(urls, case, SECONDS, events)
        return report.Row(case, who, SECONDS, done, answers, alone, depths)


@contextmanager
def hog(pid: int) -> Iterator[None]:
    """A busy program on the last processor, which a process has to share with it; this one leaves it to them."""
    last = os.cpu_count() - 1
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {last})
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before - {last})
    busy = f"import os\nos.sched_setaffinity(0, {{{last}}})\nwhile os.getppid() == {os.getpid()}: pass"
    process = subprocess.Popen([sys.executable, "-c", busy])
    try:
        yield
    finally:
        process.kill()
        process.wait()
        os.sched_setaffinity(0, before)


def depth(link: amqp.Channel, case: Case) -> int:
    """The messages that wait in the case's queues."""
    return sum(link.queue_declare(name, passive=True).message_count for name in case.queue_names)


def wait_for(web: Web) -> None:
    """Wait for the first right answer of a process.

    :raises NotRight: it gives none.
    """
    end = time.monotonic() + START
    while time.monotonic() < end:
        with closing(HTTPConnection(web.url.removeprefix("http://"), timeout=10)) as connection:
            try:
                connection.request("GET", "/sleep?seconds=0")
                if connection.getresponse().status == 200:
                    return
            except OSError:  # it does not listen yet
                time.sleep(0.05)
    raise NotRight(f"no right answer\n{web.output[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
