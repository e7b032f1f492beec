"""Replaces the worker when the web processes must be the bottleneck: answers each task at once, on bare py-amqp.

Replies and acknowledgements of all arrived messages go out together. ``python -m benchmarks.echo PORT``
"""

from __future__ import annotations

import sys
from typing import Any

import amqp
from amqp.method_framing import frame_writer

from benchmarks.link import channel
from benchmarks.messages import reply

QUEUE = "celery"
PREFETCH = 1000


class Cork:
    """Stands between py-amqp's frame writer and the transport, and collects frames while it is active."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._is_in = False

    def frame_writer(self, connection: amqp.Connection, transport: Any) -> Any:
        """py-amqp's frame writer, writing to this cork."""
        self._transport = transport
        return frame_writer(connection, self)

    def write(self, frame: bytes) -> None:
        """Keep a copy of a frame, or write it. The frame is a view of a buffer that py-amqp reuses."""
        if self._is_in:
            self._frames.append(bytes(frame))
        else:
            self._transport.write(frame)

    def __enter__(self) -> None:
        self._is_in = True

    def __exit__(self, *_: object) -> None:
        self._is_in = False
        self._transport.write(b"".join(self._frames))
        self._frames.clear()


def main(port: int) -> None:
    """Answer until killed."""
    waiting: list[amqp.Message] = []
    cork = Cork()
    with channel(port, frame_writer=cork.frame_writer) as link:
        link.queue_declare(QUEUE, durable=True, auto_delete=False)
        link.basic_qos(0, PREFETCH, False)
        link.basic_consume(QUEUE, callback=waiting.append)
        while True:
            link.connection.drain_events()
            take_all(link, waiting)
            with cork:
                answer(link, waiting)
            waiting.clear()


def take_all(link: amqp.Channel, waiting: list[amqp.Message]) -> None:
    """Read the messages that have already arrived."""
    while len(waiting) < PREFETCH // 2:
        try:
            link.connection.drain_events(timeout=0.001)
        except TimeoutError:
            return


def answer(link: amqp.Channel, tasks: list[amqp.Message]) -> None:
    """Reply to all, and acknowledge all."""
    for task in tasks:
        link.basic_publish(reply(task.properties["correlation_id"]), routing_key=task.properties["reply_to"])
    link.basic_ack(tasks[-1].delivery_tag, multiple=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
