"""The stage of all measurements: a private broker, a worker as in the Procfile, and one web process at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks import ready
from benchmarks.contenders import Contender
from benchmarks.link import channel
from benchmarks.load import Load, LoadError, wrk
from servers import RabbitMQ, Redis, free_port
from stack import Process, procfile

PATIENCE = 30  # seconds until a contender must give a right answer


class NotMeasured(Exception):
    """A figure cannot be measured here; the message says why, and what to do."""


class NotRight(Exception):
    """A contender gave a wrong answer; the message quotes it."""


class Web(Process):
    """A contender's web process, on a free port."""

    def __init__(self, contender: Contender, broker: RabbitMQ | Redis, **variables: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        variables = {"BROKER_URL": broker.url, "PORT": str(port), **contender.variables, **variables}
        super().__init__(contender.arguments(port), ready="", **variables)

    def running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None


@dataclass(frozen=True)
class Stage:
    """The broker and the worker that all contenders share.

    :param results: the server that keeps the results, if that is not the broker.
    :param variables: what a contender's environment has beside the broker's URL, or instead of it.
    """

    broker: RabbitMQ | Redis
    worker: Process
    results: Redis | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def servers(self) -> list[int]:
        """The pids of the broker, and of the server that keeps the results."""
        return [server.pids[-1] for server in (self.broker, self.results) if server]


@contextmanager
def worker(broker: RabbitMQ | Redis, **variables: str) -> Iterator[Process]:
    """A worker with the Procfile's command, and the ladder's task in addition to the project's."""
    line = procfile()["worker"].replace("-A tasks", "-A benchmarks.job")
    with Process(["sh", "-c", line], ready=ready.READY, BROKER_URL=broker.url, **variables) as process:
        yield process


def wait_for_consumer(broker: RabbitMQ, queue: str) -> None:
    """Wait until a queue has a consumer; declare the queue as Celery does if it does not exist.

    :raises NotRight: it has no consumer within `PATIENCE` seconds.
    """
    end = time.monotonic() + PATIENCE
    with channel(broker.port) as link:
        while not link.queue_declare(queue, durable=True, auto_delete=False).consumer_count:
            if time.monotonic() > end:
                raise NotRight(f"no worker takes from the queue {queue}")
            time.sleep(0.05)


@contextmanager
def warm(contender: Contender, broker: RabbitMQ | Redis, **variables: str) -> Iterator[Web]:
    """Start a contender, and wait for its first right answer.

    :raises NotRight: it gives none within `PATIENCE` seconds.
    """
    with Web(contender, broker, **variables) as web:
        end = time.monotonic() + PATIENCE
        while not (load := _try(web.url, contender)):
            if not web.running() or time.monotonic() > end:
                raise NotRight(f"{contender.label}: no right answer\n{web.output[-3000:]}")
            time.sleep(0.05)
        if load.failures:
            raise NotRight(f"{contender.label}: {load}")
        yield web


def _try(url: str, contender: Contender) -> Load | None:
    try:
        load = wrk(url, contender.work, contender.warm, 1)
    except LoadError:  # it does not listen yet
        return None
    return load if load.right or load.failures else None
