"""The remote control of a worker, which outlives its connections."""

import time
from contextlib import suppress

from celery.utils.log import get_logger
from celery.worker.consumer import Control
from celery.worker.pidbox import gPidbox
from kombu import Queue, uuid

logger = get_logger(__name__)


class DurablePidbox(gPidbox):
    """The remote control of a green worker: its own connection, on its own greenlet, and nobody waits for either.

    Celery's does not notice that a connection is half-open, closes it for ever, and has the whole worker wait for that.
    """

    running = False

    def __init__(self, c):
        super().__init__(c)
        self.node.reply = self.reply
        # Of this process, and kept: Celery's has the node's name, so that namesakes share it, and goes when it is lost.
        name, exchange = f"{self.hostname}.{uuid()}.pidbox", self.node.mailbox.exchange
        arguments = {"x-queue-type": c.app.conf.task_default_queue_type}  # in a cluster it must not go with one node
        self.queue = Queue(name, exchange, expires=c.app.conf.control_queue_ttl, queue_arguments=arguments)

    def start(self, c):
        self.queue(c.connection.default_channel).declare()  # before the first task, so that no order comes too early
        if not self.running:  # it outlives the consumer's connections
            self.running = True
            c.pool.spawn_n(self.loop, c)

    def stop(self, c):
        """Go on: the tasks that a warm shutdown waits for can still be terminated."""

    def shutdown(self, c):
        self.running = False

    def loop(self, c):
        while self.running:
            try:
                self.serve(c)
            except Exception as error:
                logger.warning("Remote control: %r. Trying again", error)
                time.sleep(1)

    def serve(self, c):
        # A reply that waited for its confirm would read what the loop is to read. Seconds, of memory:// only.
        options = {"confirm_publish": False, "polling_interval": 0.1}
        connection = c.app.connection_for_read(heartbeat=c.amqheartbeat, transport_options=options)
        try:
            self.listen(c, connection)
            while self.running:
                connection.heartbeat_check()
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
        finally:
            connection.collect()  # close() would wait for the broker's answer

    def listen(self, c, connection):
        connection.ensure_connection(max_retries=len(connection.alt) or 1, interval_start=0)
        if connection.supports_heartbeats:
            connection.connection.sock.settimeout(4)  # seconds, for each of the broker's answers
        self.producer = connection.Producer()
        consumer = connection.Consumer([self.queue], callbacks=[self.on_message], accept=self.node.mailbox.accept)
        consumer.on_decode_error = c.on_decode_error
        consumer.consume()

    def on_message(self, body, message):
        """As Celery's, but none waits for another, whose result backend may be away."""
        message.ack()
        self.c.pool.spawn_n(super().on_message, body, message)

    def reply(self, data, exchange, routing_key, ticket):
        """As kombu's, which may wait for ever, with a connection of the pool that the tasks' replies need."""
        headers = {"ticket": ticket, "clock": self.c.app.clock.forward()}
        self.producer.publish(data, exchange=exchange, routing_key=routing_key, headers=headers)


class DurableControl(Control):
    """Celery's, but for pools of greenlets."""

    def __init__(self, c, **kwargs):
        super().__init__(c, **kwargs)
        if self.is_green:
            self.box = DurablePidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown
