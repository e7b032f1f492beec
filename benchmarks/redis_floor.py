"""Redis's share of the lower bound: bare redis-py, for one message out and one result in."""

from __future__ import annotations

import time
from uuid import uuid4

from redis import Redis

from benchmarks.messages import check_result, redis_message, redis_result
from benchmarks.redis_feed import KEY, receive, subscription

LIST = "floor"  # no worker takes from it


def publish(url: str, count: int) -> float:
    """CPU milliseconds of this process to put a task message into a list, and to read Redis's answer.

    :param url: a database.
    :param count: the number of messages to publish.
    """
    with Redis.from_url(url) as client:
        began = time.process_time()
        for _ in range(count):
            client.lpush(LIST, redis_message(str(uuid4()), LIST))
        spent = time.process_time() - began
        client.delete(LIST)
    return 1000 * spent / count


def consume(url: str, count: int) -> float:
    """CPU milliseconds of this process to receive a published result and read it.

    :param url: a database.
    :param count: the number of results to receive.
    """
    prefix = str(uuid4())
    with Redis.from_url(url) as client, subscription(client, f"{KEY}{prefix}*") as results:
        with client.pipeline(transaction=False) as pipeline:
            for number in range(count):
                pipeline.publish(f"{KEY}{prefix}-{number}", redis_result(f"{prefix}-{number}"))
            pipeline.execute()
        began = time.process_time()
        for _ in range(count):
            check_result(receive(results))
        return 1000 * (time.process_time() - began) / count
