"""How a worker gets its tasks: from a broker that it soon finds again."""

import gc
import itertools
import time
from functools import partial
from typing import ClassVar

from celery.worker.consumer import Consumer, Control

from ringback.worker.control import DurableControl
from ringback.worker.cork import corked

LEFT_OUT = {
    f"{Control.__module__}:Control",
    # For topic exchanges only, which Celery's default is not: 28 queues, and a wait of 17 s for each node that is down.
    "celery.worker.consumer.delayed_delivery:DelayedDelivery",
}


LOOK = 0.3  # seconds

BURST = 16  # messages


class FastReconnectConsumer(Consumer):
    """Tries to reach a lost broker every second, and no longer than 4 s. No setting does that under gevent."""

    class Blueprint(Consumer.Blueprint):
        """As Celery's, but for the remote control and the delay queues."""

        default_steps: ClassVar = {*Consumer.Blueprint.default_steps} - LEFT_OUT | {DurableControl}

    def __init__(self, *args, **kwargs):
        """As Celery's, which takes the time-out away, for a gevent bug of old: its workers then hang for ever."""
        super().__init__(*args, **kwargs)
        self.app.conf.broker_connection_timeout = 4
        spare_the_collector()

    def ensure_connected(self, conn):
        """As Celery's, whose pauses grow by 2 s, up to 30 s."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=1)
        if self.hub is None and conn.transport.driver_name == "py-amqp":  # the one who reads comes back to write
            conn.transport_options["frame_writer"] = corked
        conn.drain_events = partial(self.drain, conn.drain_events, itertools.count(1))
        return super().ensure_connected(conn)

    def drain(self, drain_events, count, timeout):
        """Handle the next event.

        Celery looks every 2 s whether it is to end, and each heartbeat of the broker puts that off: an idle worker took
        nearly 5 s to end, of the 5 that honcho gives. And it reads on for as long as there is something, so that a
        burst's first task would run when its last is read, and whoever waits for them all have nothing to do meanwhile.
        """
        if not next(count) % BURST:
            time.sleep(0)
        return drain_events(timeout=min(timeout, LOOK))


def spare_the_collector():
    """Have the garbage collector look less often, and not at what stays: a sixth of a worker's CPU time was its."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 5, 10)
