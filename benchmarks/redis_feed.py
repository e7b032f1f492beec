"""A bare redis-py client that calls the task through a worker, and receives all results on one subscription."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from redis import Redis
from redis.client import PubSub

from benchmarks.feed import SILENCE, WINDOW
from benchmarks.messages import check_result, redis_message
from stack import Process

QUEUE = "celery"
KEY = "celery-task-meta-"  # what the keys and the channels of Celery's results begin with


def calls(url: str, count: int) -> None:
    """Call the task ``count`` times, as fast as the results come.

    :param url: the worker's database.
    :raises TimeoutError: results do not come.
    """
    prefix = str(uuid4())
    with Redis.from_url(url) as client, subscription(client, f"{KEY}{prefix}*") as results:
        sent = answered = 0
        while answered < count:
            batch = range(sent, min(count, answered + WINDOW))
            if batch:
                client.lpush(QUEUE, *(redis_message(f"{prefix}-{number}", QUEUE) for number in batch))
                sent = batch.stop
            answered += _take(results)


@contextmanager
def subscription(client: Redis, pattern: str) -> Iterator[PubSub]:
    """A subscription that Redis has confirmed.

    :raises TimeoutError: it does not confirm it.
    """
    with client.pubsub() as channels:
        channels.psubscribe(pattern)
        receive(channels)
        yield channels


def receive(channels: PubSub) -> bytes:
    """The data of the next message.

    :raises TimeoutError: none comes within `SILENCE` seconds.
    """
    message = channels.get_message(timeout=SILENCE)
    if message is None:
        raise TimeoutError(f"Redis sent nothing for {SILENCE} s")
    data: bytes = message["data"]
    return data


def _take(results: PubSub) -> int:
    """Wait for a result, and read those that have arrived meanwhile; return their number."""
    check_result(receive(results))
    taken = 1
    while message := results.get_message():
        check_result(message["data"])
        taken += 1
    return taken


@contextmanager
def running(url: str) -> Iterator[None]:
    """Keep a worker busy during the block, by a separate process.

    :param url: the worker's database.
    """
    with Process([sys.executable, "-m", "benchmarks.redis_feed", url], ready="calling"):
        yield


if __name__ == "__main__":
    print("calling", flush=True)
    while True:
        calls(sys.argv[1], 1000)
