"""How a worker gets its tasks: from a broker that it soon finds again."""

from functools import partial
from typing import ClassVar

from celery.worker.consumer import Consumer, Control

from worker.control import LastingControl

LEFT_OUT = {
    f"{Control.__module__}:Control",
    # For topic exchanges only, which Celery's default is not: 28 queues, and a wait of 17 s for each node that is down.
    "celery.worker.consumer.delayed_delivery:DelayedDelivery",
}


LOOK = 0.3  # seconds


class PromptConsumer(Consumer):
    """Tries to reach a lost broker every second, and no longer than 4 s. No setting does that under gevent."""

    class Blueprint(Consumer.Blueprint):
        """As Celery's, but for the remote control and the delay queues."""

        default_steps: ClassVar = {*Consumer.Blueprint.default_steps} - LEFT_OUT | {LastingControl}

    def __init__(self, *args, **kwargs):
        """As Celery's, which takes the time-out away, for a gevent bug of old: its workers then hang for ever."""
        super().__init__(*args, **kwargs)
        self.app.conf.broker_connection_timeout = 4

    def ensure_connected(self, conn):
        """As Celery's, whose pauses grow by 2 s, up to 30 s, and which looks every 2 s whether it is to end.

        Each heartbeat of the broker puts that off: an idle worker took nearly 5 s to end, of the 5 that honcho gives.
        """
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=1)
        drain = conn.drain_events
        conn.drain_events = lambda timeout: drain(timeout=min(timeout, LOOK))
        return super().ensure_connected(conn)
