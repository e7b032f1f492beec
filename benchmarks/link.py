"""A bare py-amqp connection to the private broker. Blocking code, for the benchmark's own thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import amqp


@contextmanager
def channel(port: int, **options: Any) -> Iterator[amqp.Channel]:
    """A channel on a connection of its own.

    :param port: the port of a broker on this machine.
    :param options: options of the connection.
    """
    with amqp.Connection(f"127.0.0.1:{port}", **options) as connection:
        yield connection.channel()


def reply_queue(channel: amqp.Channel, on_message: Callable[[amqp.Message], object]) -> str:
    """Consume an exclusive queue of this connection; return its name."""
    name: str = channel.queue_declare(exclusive=True).queue
    channel.basic_consume(name, no_ack=True, callback=on_message)
    return name
