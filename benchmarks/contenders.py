"""The contenders, as data; those on Redis are in ``redis_contenders.py``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

DESIGNS = Path(__file__).parent / "designs"
ENVIRONMENTS = Path(__file__).parent / ".venv"

RELAY, LADDER = "relay", "ladder"  # the two groups: a task without work, and jobs of 100 ms


@dataclass(frozen=True)
class Contender:
    """One design.

    :param command: the program's arguments; ``{port}`` stands for the port to listen on.
    :param work: the kind of its requests, by its name in ``load.lua``.
    :param requests: requests for each piece of work.
    :param connections: connections of the load.
    :param warm: connections of its warm-up; fewer if it blocks, since unanswered requests would disturb the next run.
    :param environment: its own environment, whose requirements are in ``designs/NAME.txt`` or ``NAME.json``.
    :param program: the program that runs it, if that is not Python.
    :param worker: the worker that runs its tasks, if there are several.
    """

    name: str
    label: str
    command: str
    work: str
    group: str = RELAY
    ours: bool = False
    requests: int = 1
    connections: int = 100
    warm: int = 100
    environment: str = ""
    program: str = ""
    worker: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> bool:
        """Whether it leaves received requests unanswered while it works on others."""
        return self.warm < self.connections

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return str(ENVIRONMENTS / self.environment / "bin" / "python") if self.environment else sys.executable

    def arguments(self, port: int) -> list[str]:
        """Its command line."""
        return [self.program or self.python, *self.command.format(port=port).split()]


def design(name: str) -> str:
    """The command of one of our own designs."""
    return f"-m benchmarks.designs.{name}"


RINGBACK = "--port={port} --logging=error"  # the others do not write an access log either

#: Publish without waiting for the broker's confirm; otherwise all contenders wait for it, by celeryconfig.py.
UNCONFIRMED = {"UNCONFIRMED": "1"}

CONTENDERS = [
    Contender("callback", "Ringback, callback", f"app.py {RINGBACK}", "relay", ours=True),
    Contender("await", "Ringback, await", f"{design('awaiting')} {RINGBACK}", "relay", ours=True),
    Contender("by-name", "Ringback, POST /v1/tasks/test", f"app.py {RINGBACK}", "call", ours=True),
    Contender("then", "gevent, Celery's .then", design("then"), "relay"),
    Contender("threads", "ThreadPoolExecutor(100)", design("threads"), "relay"),
    Contender("then-unconfirmed", "gevent, .then, no confirms", design("then"), "relay", variables=UNCONFIRMED),
    Contender("threads-unconfirmed", "100 threads, no confirms", design("threads"), "relay", variables=UNCONFIRMED),
    Contender("polling", "IOLoop polls ready()", design("polling"), "relay"),
    Contender("blocking", "blocking get()", f"{design('blocking')} 1", "relay", warm=1),
    Contender(
        "fastapi",
        "FastAPI, sync get()",
        "-m uvicorn benchmarks.designs.fastapi_get:app --port {port} --log-level warning --no-access-log",
        "relay",
        environment="fastapi",
    ),
    Contender(
        "flower",
        "Flower, /api/task/apply, 1 connection",
        "-m celery -A benchmarks.designs.flower_app flower --address=127.0.0.1 --port={port} --logging=error",
        "flower",
        connections=1,  # with more, its threads share one AMQP connection, and break it
        warm=1,
        environment="flower",
        variables={"FLOWER_UNAUTHENTICATED_API": "true"},
    ),
    Contender("job-held", "Ringback, held", f"{design('awaiting')} {RINGBACK}", "job_called", LADDER, ours=True),
    Contender(
        "job-at-once", "Ringback, at once", f"{design('awaiting')} {RINGBACK}", "job_run", LADDER, ours=True, requests=2
    ),
    Contender(
        "job-producer", "producer-consumer, 100 threads", design("producer_consumer"), "job_fetched", LADDER, requests=2
    ),
    Contender("job-threads", "ThreadPoolExecutor(100)", design("threads"), "job", LADDER),
    Contender("job-executor", "ProcessPoolExecutor(40)", design("process_executor"), "job", LADDER),
    Contender("job-coroutine", "coroutine that polls", design("coroutine"), "job", LADDER),
    Contender("job-processes", "four processes, blocking", f"{design('blocking')} 4", "job", LADDER, warm=4),
    Contender("job-blocking", "blocking get()", f"{design('blocking')} 1", "job", LADDER, warm=1),
]

HELLO = Contender("hello", "bare Tornado", design("hello"), "relay")
