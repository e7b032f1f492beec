"""How a worker gets its tasks: from a broker that it finds again within a second. Runs on the worker's main thread."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from amqp.exceptions import AMQPError
from celery.worker.consumer import Consumer, Control
from celery.worker.consumer.delayed_delivery import DelayedDelivery
from kombu.utils.imports import symbol_by_name

from ringback import upgrade_guard
from ringback.errors import UnsupportedVersion
from ringback.wire import ReconnectBackoff, cork_until_read, relieve_the_garbage_collector
from ringback.worker.control import DurableControl

logger = logging.getLogger(__name__)

#: The longest time, in seconds, until an idle worker sees that it is to end.
STOP_INTERVAL = 0.3

#: The same where tasks are threads: they leave it to the consumer to acknowledge them, which lets the next ones come.
ACKNOWLEDGE_INTERVAL = 0.02

#: Messages that are read before the tasks of the first ones get to run.
BURST = 16

#: Seconds for a connection to the broker.
CONNECT_TIMEOUT = 4


class TopicDelayedDelivery(DelayedDelivery):  # type: ignore[misc]
    """Celery's delay queues, where an exchange needs them: 28 queues, and a wait of 17 s for each node that is down."""

    def include_if(self, c: Any) -> bool:
        """Whether the app has a topic exchange, the only kind that Celery's delayed delivery works with."""
        has_topic = any(queue.exchange and queue.exchange.type == "topic" for queue in c.app.amqp.queues.values())
        return has_topic and bool(super().include_if(c))


def _steps() -> set[type[Any]]:
    """Celery's steps of a consumer, with ours in the place of two of them."""
    steps = {symbol_by_name(step) for step in Consumer.Blueprint.default_steps}
    replaced = {Control, DelayedDelivery}
    if not replaced <= steps:
        missing = ", ".join(step.__name__ for step in replaced - steps)
        raise UnsupportedVersion(f"this Celery's consumer has no step {missing}; Celery 5.5 to 5.7 are tested")
    return steps - replaced | {DurableControl, TopicDelayedDelivery}


class FastReconnectConsumer(Consumer):  # type: ignore[misc]
    """Tries to reach a lost broker every second, each time for 4 s at most. No setting of Celery's does that."""

    channel_errors: tuple[type[BaseException], ...]

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Celery's blueprint, with our remote control, and with delay queues only where they are needed."""

        default_steps: ClassVar = _steps()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._backoff, self._acknowledges_at_once = ReconnectBackoff(), False
        self._book: Any = None  # its requests and notes, if the broker is Redis
        if self.conninfo.transport.driver_type == "amqp":
            self.channel_errors = (*self.channel_errors, AMQPError)  # all that py-amqp raises
        # Celery has taken it away under gevent, for a fault that gevent had: its workers then hang for ever.
        self.app.conf.broker_connection_timeout = CONNECT_TIMEOUT
        relieve_the_garbage_collector()

    def ensure_connected(self, conn: Any) -> Any:
        """Connect as Celery's consumer does, whose pauses grow by 2 s, up to 30 s."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=1)
        if self.hub is None and conn.transport.driver_name == "py-amqp":  # this thread reads and writes in turns
            conn.transport_options["frame_writer"] = cork_until_read
            self._acknowledges_at_once = True
        if self.pool.is_green and conn.transport.driver_type == "redis":
            from ringback.worker.redis_channel import take_by_requests
            from ringback.worker.redis_requests import Book

            upgrade_guard.check(upgrade_guard.REDIS_WORKER)
            self._book = self._book or Book()
            take_by_requests(conn.transport, self._book)
            self._acknowledges_at_once = True
        conn.drain_events = partial(self._drain, conn.drain_events, itertools.count(1))
        connected = super().ensure_connected(conn)
        self._backoff.connected()
        return connected

    def call_soon(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge at once where the tasks are greenlets, whose writes the cork puts in turn.

        Celery's consumer does it when it has read the next message, or has waited for that in vain for 2 s. But a
        worker of one slot that prefetches one task gets no next message before that.
        """
        if not (self._acknowledges_at_once and self.pool.is_green):
            return super().call_soon(operation, *args, **kwargs)
        try:
            return operation(*args, **kwargs)
        except Exception:  # the task goes on, as it does where Celery's consumer meets this
            logger.exception("a task could not be acknowledged, and may be delivered again")

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Pause before the next attempt, if the last connections did not hold: a channel error comes back at once."""
        super().on_connection_error_after_connected(exc)
        time.sleep(self._backoff.lost())

    def on_close(self) -> None:
        """Forget the tasks that are held for a countdown, beside those that Celery forgets.

        They are not acknowledged, so the broker delivers them again; kept, each would run once more for every
        connection that was lost while it was held.
        """
        super().on_close()
        if self.timer and self.conninfo.transport.driver_type == "amqp":
            self.timer.clear()

    def _drain(self, drain_events: Callable[..., Any], count: Iterator[int], timeout: float) -> Any:
        """Handle the next event.

        Celery looks every 2 s whether it is to end, and each heartbeat of the broker delays that: an idle worker took
        nearly 5 s to end, of the 5 that honcho gives. It also reads on while there is something to read, so that a
        burst's first task would run only when its last is read.
        """
        if not next(count) % BURST:
            time.sleep(0)
        interval = ACKNOWLEDGE_INTERVAL if self.hub is None and not self.pool.is_green else STOP_INTERVAL
        return drain_events(timeout=min(timeout, interval))
