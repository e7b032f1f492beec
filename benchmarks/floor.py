"""The lower bound of a relayed request's cost: bare Tornado, and bare py-amqp for one message out and one in."""

from __future__ import annotations

import time

import amqp

from benchmarks.link import channel
from benchmarks.messages import check, reply, task_message


def publish(port: int, count: int) -> float:
    """CPU milliseconds of this process to publish a task message.

    :param port: the broker's port.
    :param count: the number of messages to publish.
    """
    with channel(port) as link:
        queue = link.queue_declare(exclusive=True).queue
        began = time.process_time()
        for _ in range(count):
            link.basic_publish(task_message("floor"), routing_key=queue)
        return 1000 * (time.process_time() - began) / count


def consume(port: int, count: int) -> float:
    """CPU milliseconds of this process to consume a reply and read it.

    :param port: the broker's port.
    :param count: the number of replies to consume.
    """
    read: list[str] = []

    def on_message(message: amqp.Message) -> None:
        read.append(check(message))

    with channel(port) as link:
        queue = link.queue_declare(exclusive=True).queue
        for number in range(count):
            link.basic_publish(reply(str(number)), routing_key=queue)
        while link.queue_declare(queue, passive=True).message_count < count:
            pass
        link.basic_consume(queue, no_ack=True, callback=on_message)
        began = time.process_time()
        while len(read) < count:
            link.connection.drain_events()
        return 1000 * (time.process_time() - began) / count
