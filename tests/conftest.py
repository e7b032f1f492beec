"""Fixtures for the servers and processes that several tests share, and the ``quick`` mark of tests that start none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from selection import is_quick
from servers import RabbitMQ, Redis, need
from stack import Web, Worker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ``make quick`` runs."""
    for item in items:
        if isinstance(item, pytest.Function) and is_quick(item):
            item.add_marker("quick")


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A shared broker: no test may stop or disturb it."""
    with need(RabbitMQ) as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A shared Redis: no test may stop or disturb it."""
    with need(Redis) as server:
        yield server


@pytest.fixture(scope="session")
def worker(rabbitmq: RabbitMQ) -> Iterator[Worker]:
    """A worker on ``rabbitmq``."""
    with Worker(BROKER_URL=rabbitmq.url) as process:
        yield process


@pytest.fixture(scope="module")
def web(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    """A web process on ``rabbitmq``, with a worker."""
    with Web(BROKER_URL=rabbitmq.url, RINGBACK_TERMINATE="*") as process:
        yield process


@pytest.fixture(scope="module")
def embedded() -> Iterator[Web]:
    """A web process as ``make run`` starts it: with its own broker and worker."""
    with Web("app.py") as process:
        yield process


@pytest.fixture(scope="module")
def web_with_redis_broker(redis: Redis) -> Iterator[Web]:
    """A web process whose broker and results are Redis, with a worker on a separate database."""
    variables = {"BROKER_URL": redis.url.replace("/0", "/1")}
    with Worker(**variables), Web(**variables, RINGBACK_TERMINATE="*") as process:
        yield process


@pytest.fixture(scope="module")
def web_on_redis(rabbitmq: RabbitMQ, redis: Redis) -> Iterator[Web]:
    """A web process whose results come through Redis, with a worker on a separate queue."""
    variables = {"BROKER_URL": rabbitmq.url, "RESULT_BACKEND": redis.url, "TASK_QUEUE": "redis"}
    with Worker(**variables), Web(**variables, RINGBACK_TERMINATE="*") as process:
        yield process
