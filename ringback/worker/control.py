"""The remote control of a worker, which outlives its connections."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from celery.worker.consumer import Control
from celery.worker.pidbox import gPidbox
from kombu import Queue, uuid

from ringback.wire import ReconnectBackoff, keep_connected


class DurablePidbox(gPidbox):  # type: ignore[misc]
    """The remote control of a green worker: its own connection on its own greenlet, for which nothing else waits.

    Celery's does not notice that a connection is half-open, closes it for ever, and has the whole worker wait for that.
    """

    running = False

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.node.reply = self.reply
        # One durable queue per process. Celery names it after the node, so two workers of one name share it, and
        # deletes it on disconnect.
        name, exchange = f"{self.hostname}.{uuid()}.pidbox", self.node.mailbox.exchange
        kind = c.app.conf.get("task_default_queue_type") or "classic"  # in a cluster it must survive one node
        arguments = {"x-queue-type": kind}
        self.queue = Queue(name, exchange, expires=c.app.conf.control_queue_ttl, queue_arguments=arguments)

    def start(self, c: Any) -> None:
        """Declare the queue, and start to listen unless it listens already."""
        self.queue(c.connection.default_channel).declare()  # before the first task, so that no command comes too early
        if not self.running:  # it outlives the consumer's connections
            self.running = True
            c.pool.spawn_n(self.loop, c)

    def stop(self, c: Any) -> None:
        """Go on: the tasks that a warm shutdown waits for can still be terminated."""

    def shutdown(self, c: Any) -> None:
        """Stop to listen, because the worker ends."""
        self.running = False

    def loop(self, c: Any) -> None:
        """Listen until the worker ends."""
        backoff = ReconnectBackoff()
        keep_connected(partial(self.serve, c, backoff), backoff, "remote control", stopped=lambda: not self.running)

    def serve(self, c: Any, backoff: ReconnectBackoff) -> None:
        """Listen on one connection until it is lost."""
        # A reply that waited for its confirm would read what the loop is to read. Seconds, of memory:// only.
        options = {"confirm_publish": False, "polling_interval": 0.1}
        connection = c.app.connection_for_read(heartbeat=c.amqheartbeat, transport_options=options)
        try:
            self.listen(c, connection)
            backoff.connected()
            # Redis has no heartbeats: kombu asks for a sign of life in its event loop, which a green worker has not.
            cycle = getattr(connection.transport, "cycle", None)
            ask = getattr(cycle, "maybe_check_subclient_health", connection.heartbeat_check)
            while self.running:
                ask()
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
        finally:
            connection.collect()  # close() would wait for the broker's answer

    def listen(self, c: Any, connection: Any) -> None:
        """Connect and consume from the queue."""
        connection.ensure_connection(max_retries=len(connection.alt) or 1, interval_start=0)
        if connection.supports_heartbeats:
            connection.connection.sock.settimeout(4)  # seconds, for each of the broker's answers
        self.producer = connection.Producer()
        consumer = connection.Consumer([self.queue], callbacks=[self.on_message], accept=self.node.mailbox.accept)
        consumer.on_decode_error = c.on_decode_error
        consumer.consume()

    def on_message(self, body: Any, message: Any) -> None:
        """Handle a command on a greenlet of its own, so that none waits for another whose result backend is away."""
        message.ack()
        self.c.pool.spawn_n(super().on_message, body, message)

    def reply(self, data: Any, exchange: str, routing_key: str, ticket: str) -> None:
        """Reply on this connection. Kombu's may wait for ever, with a connection that the tasks' replies need."""
        headers = {"ticket": ticket, "clock": self.c.app.clock.forward()}
        self.producer.publish(data, exchange=exchange, routing_key=routing_key, headers=headers)


class DurableControl(Control):  # type: ignore[misc]
    """Celery's step, with our remote control in pools of greenlets."""

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        if self.is_green:
            self.box = DurablePidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown
