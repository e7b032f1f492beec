"""The stages of the contenders on Redis: a worker for each, on a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial

from benchmarks import ready
from benchmarks.checks import default_worker
from benchmarks.contenders import ENVIRONMENTS
from benchmarks.redis_contenders import ARQ, DEFAULT, MIXED, OURS
from benchmarks.redis_feed import QUEUE
from benchmarks.stage import Stage, worker
from servers import RabbitMQ, Redis
from stack import Process

Stages = dict[str, Callable[[], AbstractContextManager[Stage]]]


@contextmanager
def stages(rabbitmq: RabbitMQ, redis: Redis) -> Iterator[Stages]:
    """Start all workers but arq's; return the function that opens each worker's stage."""
    ours, default, arq, mixed = (on_database(redis, number) for number in range(4))
    kept = {"RESULT_BACKEND": mixed["RESULT_BACKEND"]}
    with ExitStack() as stack:
        running = {
            OURS: Stage(redis, stack.enter_context(worker(redis)), variables=ours),
            DEFAULT: Stage(redis, stack.enter_context(default_worker(QUEUE, **default)), variables=default),
            MIXED: Stage(rabbitmq, stack.enter_context(worker(rabbitmq, **kept)), redis, kept),
        }
        yield {
            **{name: partial(nullcontext, stage) for name, stage in running.items()},
            ARQ: partial(arq_stage, redis, arq),
        }


def on_database(redis: Redis, number: int) -> dict[str, str]:
    """The environment of a process whose broker and results are in this database."""
    url = f"redis://127.0.0.1:{redis.port}/{number}"
    return {"BROKER_URL": url, "RESULT_BACKEND": url}


@contextmanager
def arq_stage(redis: Redis, variables: dict[str, str]) -> Iterator[Stage]:
    """arq's worker, which runs only while it is needed: it polls, and that would take CPU time from the others."""
    python = str(ENVIRONMENTS / "arq" / "bin" / "python")
    with Process([python, "-m", "benchmarks.designs.arq_worker"], ready=ready.READY, **variables) as process:
        yield Stage(redis, process, variables=variables)
