"""Bare py-amqp clients that call the task through the worker: the lower bound of load and latency."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import amqp

from benchmarks.link import channel, reply_queue
from benchmarks.messages import check, task_message
from stack import Process

WINDOW = 100  # calls in flight, as many as wrk has connections
SILENCE = 30  # seconds without a reply, after which the run fails


def calls(port: int, queue: str, count: int) -> None:
    """Call the task ``count`` times, as fast as the replies come.

    :param port: the broker's port.
    :param queue: the worker's queue.
    :raises TimeoutError: replies do not come.
    """
    replies = 0

    def on_reply(message: amqp.Message) -> None:
        nonlocal replies
        check(message)
        replies += 1

    with channel(port) as link:
        reply_to = reply_queue(link, on_reply)
        for sent in range(1, count + 1):
            link.basic_publish(task_message(reply_to), routing_key=queue)
            while replies <= sent - WINDOW:
                link.connection.drain_events(timeout=SILENCE)
        while replies < count:
            link.connection.drain_events(timeout=SILENCE)


@contextmanager
def running(port: int) -> Iterator[None]:
    """Keep the worker busy during the block, by a separate process.

    :param port: the broker's port.
    """
    with Process([sys.executable, "-m", "benchmarks.feed", str(port)], ready="calling"):
        yield


def paced(port: int, queue: str, rate: float, seconds: float) -> list[float]:
    """Call the task at a fixed rate, independent of the replies.

    :param port: the broker's port.
    :param queue: the worker's queue.
    :returns: seconds from when each call was due to its reply.
    """
    due: dict[str, float] = {}
    took: list[float] = []

    def on_reply(message: amqp.Message) -> None:
        took.append(time.monotonic() - due.pop(check(message)))

    with channel(port) as link:
        reply_to = reply_queue(link, on_reply)
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            moment = began + number / rate
            _drain_until(link, moment)
            message = task_message(reply_to)
            due[message.properties["correlation_id"]] = moment
            link.basic_publish(message, routing_key=queue)
        while due:
            link.connection.drain_events(timeout=SILENCE)
    return took


def _drain_until(link: amqp.Channel, moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        try:
            link.connection.drain_events(timeout=left)
        except TimeoutError:  # no reply came until then
            return


if __name__ == "__main__":
    print("calling", flush=True)
    while True:
        calls(int(sys.argv[1]), "celery", 1000)
