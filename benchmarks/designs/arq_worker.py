"""arq's own worker with the relay's task. It runs in arq's environment, and imports nothing of the project."""

import os
from typing import Any

from arq.connections import RedisSettings
from arq.worker import run_worker

from benchmarks import ready

# Seconds. Median requests a second at 100 connections: 1080, with 20 ms 1060, with 5 ms 990, with 50 ms 860.
POLL_DELAY = 0.01


async def test(context: dict[str, Any], body: str) -> str:
    """The same task as in ``tasks.py``."""
    return body[2:5]


async def on_startup(context: dict[str, Any]) -> None:
    """Say that it takes tasks."""
    ready.say()


class WorkerSettings:
    """arq's settings."""

    functions = (test,)
    redis_settings = RedisSettings.from_dsn(os.environ["BROKER_URL"])
    on_startup = on_startup
    poll_delay = POLL_DELAY
    max_jobs = 500  # as many as the other workers run at once


if __name__ == "__main__":
    run_worker(WorkerSettings)
