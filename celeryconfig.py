"""Celery's settings, for the web process and the worker alike. Each that is not Celery's default has its reason."""

import itertools
import os
import sys
import time
from collections import deque
from contextlib import suppress
from functools import partial
from threading import Event, Lock, Thread
from types import SimpleNamespace
from typing import ClassVar

from amqp import Message
from amqp.exceptions import MessageNacked
from amqp.method_framing import frame_writer
from amqp.serialization import dumps as publish_arguments
from amqp.spec import Basic
from amqp.transport import TCPTransport
from celery.backends.redis import RedisBackend
from celery.backends.rpc import RPCBackend
from celery.utils.log import get_logger
from celery.worker.consumer import Consumer, Control
from celery.worker.pidbox import gPidbox
from kombu import Queue, uuid
from kombu.exceptions import OperationalError
from kombu.serialization import dumps

logger = get_logger(__name__)


class LastingPidbox(gPidbox):
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


def reading_ahead(connection, transport):
    """Py-amqp's frame writer; a connection's transport is to be had nowhere else before it is used."""
    if isinstance(transport, TCPTransport):
        recv = transport._quick_recv
        transport._quick_recv = lambda size: recv(max(size, 4096))
    return frame_writer(connection, transport)


LEFT_OUT = {
    f"{Control.__module__}:Control",
    # For topic exchanges only, which Celery's default is not: 28 queues, and a wait of 17 s for each node that is down.
    "celery.worker.consumer.delayed_delivery:DelayedDelivery",
}


class LastingControl(Control):
    """Celery's, but for pools of greenlets."""

    def __init__(self, c, **kwargs):
        super().__init__(c, **kwargs)
        if self.is_green:
            self.box = LastingPidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown


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
        """As Celery's, whose pauses grow by 2 s, up to 30 s."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=1)
        return super().ensure_connected(conn)


class Reply:
    """A reply on its way to the broker."""

    written = 0.0  # time.monotonic()

    def __init__(self, arguments, message):
        self.arguments, self.message, self.confirmed = arguments, message, Event()


class ReplyLink:
    """Sends the replies of a process on one connection, a burst in one piece, each until the broker has confirmed it.

    Celery's way, a connection of ten for each reply until it is confirmed, costs a third of a worker's CPU. Here are
    two threads, greenlets in a green worker: one writes, the other reads the confirms, and the tasks wait.
    """

    def __init__(self, app):
        self.app, self.pid = app, os.getpid()
        self.waiting, self.unconfirmed = deque(), {}
        self.work, self.writing = Event(), Lock()
        Thread(target=self.run, daemon=True).start()

    def send(self, reply):
        self.waiting.append(reply)
        self.work.set()
        reply.confirmed.wait()

    def run(self):
        while True:
            try:
                self.serve(self.connect())
            except Exception as error:
                logger.warning("Replies: %r. Trying again", error)
            self.waiting.extendleft(reversed(self.unconfirmed.values()))
            self.unconfirmed.clear()
            time.sleep(0.2)  # seconds; a queue may have no leader for a moment

    def connect(self):
        options = {"confirm_publish": False}
        connection = self.app.connection_for_write(heartbeat=broker_heartbeat, transport_options=options)
        connection.ensure_connection(max_retries=len(connection.alt) or 1, interval_start=0)
        connection.connection.sock.settimeout(4)  # seconds, for each of the broker's answers
        return connection

    def serve(self, connection):
        writer = Thread(target=self.write, args=(connection,), daemon=True)
        try:
            channel = connection.default_channel
            channel.events["basic_ack"].add(self.on_ack)
            channel.events["basic_nack"].add(self.on_nack)
            channel.confirm_select()
            writer.start()
            while writer.is_alive():
                self.check(connection)
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
        finally:
            connection.collect()  # close() would wait for the broker's answer
            self.work.set()
            if writer.ident:
                writer.join()

    def write(self, connection):
        raw, channel, tags, burst = connection.connection, connection.default_channel, itertools.count(1), bytearray()
        write_frame = frame_writer(raw, SimpleNamespace(write=burst.extend))
        with suppress(*connection.connection_errors):
            while self.work.wait() and raw.connected:
                self.work.clear()
                with self.writing:
                    while self.waiting:
                        reply = self.unconfirmed[next(tags)] = self.waiting.popleft()
                        reply.written = time.monotonic()
                        write_frame(1, channel.channel_id, Basic.Publish, reply.arguments, reply.message)
                    raw.transport.write(bytes(burst))
                    burst.clear()

    def check(self, connection):
        with self.writing:
            connection.heartbeat_check()
        oldest = next(iter(self.unconfirmed.values()), None)
        if oldest and oldest.written < time.monotonic() - 10:
            raise OperationalError("no confirm for 10 s")

    def on_ack(self, tag, multiple):
        for each in [each for each in list(self.unconfirmed) if each <= tag] if multiple else [tag]:
            self.unconfirmed.pop(each).confirmed.set()

    def on_nack(self, tag, multiple):
        raise MessageNacked("a reply was refused")


class PatientReplies(RPCBackend):
    """Sends a reply until the broker has confirmed it; Celery gives up after 20 s and makes the task a failure.

    So a worker that is told to end while its broker is away waits for the broker; told a second time, it ends.
    """

    link = None
    linking = Lock()

    def mark_as_revoked(self, task_id, reason="", request=None, **kwargs):
        """As Celery's, which is also called for each order, without a request, and by a greenlet that it has killed."""
        mark = partial(super().mark_as_revoked, task_id, reason, request, **kwargs)
        if request:
            Thread(target=mark).start() if reason == "terminated" else mark()

    def store_result(self, task_id, result, state, traceback=None, request=None, **kwargs):
        """As Celery's, but for how the reply is sent."""
        if not SPEAKS_AMQP:
            return super().store_result(task_id, result, state, traceback, request, **kwargs)
        routing_key, correlation_id = self.destination_for(task_id, request)
        if routing_key:
            reply = self._to_result(task_id, state, result, traceback, request)
            content_type, encoding, body = dumps(reply, self.serializer)
            properties = {"content_type": content_type, "content_encoding": encoding, "application_headers": {}}
            message = Message(body, correlation_id=correlation_id, delivery_mode=self.delivery_mode, **properties)
            self.link_of_process().send(Reply(publish_arguments("Bssbb", (0, "", routing_key, False, False)), message))
        return result

    def link_of_process(self):
        with self.linking:
            if self.link is None or self.link.pid != os.getpid():  # a child of a prefork pool
                self.link = ReplyLink(self.app)
        return self.link


class RedisReplies(RedisBackend):
    """As Celery's, but an order to revoke a task does not make a task revoked that runs all the same."""

    def mark_as_revoked(self, task_id, reason="", request=None, **kwargs):
        """As Celery's, which is also called for each order, without a request."""
        if request:
            super().mark_as_revoked(task_id, reason, request, **kwargs)


# Several nodes of a cluster: amqp://…;amqp://…
broker_url = os.environ.get("BROKER_URL") or os.environ.get("CLOUDAMQP_URL") or "memory://localhost/"
SPEAKS_AMQP = broker_url.partition(":")[0] in ("amqp", "amqps", "pyamqp")
result_backend = os.environ.get("RESULT_BACKEND") or os.environ.get("REDIS_URL") or "rpc://"
override_backends = {
    "rpc": f"{__name__}:PatientReplies",
    "redis": f"{__name__}:RedisReplies",
    "rediss": f"{__name__}:RedisReplies",
}

# Where tasks go by default; Celery's own name, unless several projects share a broker.
task_default_queue = os.environ.get("TASK_QUEUE") or "celery"

# quorum: each queue is kept by most nodes of a cluster, and outlives any one of them.
task_default_queue_type = os.environ.get("TASK_QUEUE_TYPE") or "classic"
task_create_missing_queue_type = task_default_queue_type

# Tasks with a queue of their own, as in RINGBACK_ROUTES="report.*:reports sleep:slow". Worker and web agree on it here.
try:
    task_routes = {
        pattern: {"queue": queue}
        for pattern, queue in (route.rsplit(":", 1) for route in os.environ.get("RINGBACK_ROUTES", "").split())
    }
except ValueError:
    sys.exit(f"RINGBACK_ROUTES={os.environ['RINGBACK_ROUTES']!r}: expected task:queue, and more of them behind spaces")

# JSON only, in and out: a pickle from the network is a program from the network.
task_serializer = result_serializer = "json"
accept_content = ["json"]

# One backend for all greenlets. Celery's default makes one for each task: 2.2 ms of the worker's CPU, with this 0.65.
result_backend_thread_safe = True

# Replies survive a restart of the broker.
result_persistent = True

broker_transport_options = {}
if SPEAKS_AMQP:
    # A message costs the worker one recv, and not nine: py-amqp asks for each part of a frame by itself.
    broker_transport_options = {"confirm_publish": True, "frame_writer": reading_ahead}
if broker_url.startswith("memory:"):
    broker_transport_options = {"polling_interval": 0.01}  # seconds; kombu's default of 1 is each request's latency

# Celery would look for it in vain for each message that expires, which is a fifteenth of a worker's CPU.
timezone = "UTC"

# A worker notices a silent broker after two heartbeats; Celery's default is 120 s for one. RabbitMQ advises 5 to 20.
broker_heartbeat = 5

# A worker waits for its broker for as long as it takes, at start and later.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_consumer = f"{__name__}:PromptConsumer"

# After a reconnect Celery counts the prefetch up from another greenlet on the consumer's socket, which breaks it:
# 1 to 3 of 20 tasks were lost (Celery 5.5 to 5.7).
worker_enable_prefetch_count_reduction = False

# What `revoke` needs. Celery's default, and safe in a green worker with the pidbox above alone: with Celery's own, a
# half-open connection stopped the worker (0 of 20 tasks ran).
worker_enable_remote_control = True

# For results in Redis. Without the retries, what ends while Redis is away is lost; without the time-outs, a silent
# Redis is waited for; and with fewer connections than tasks at once, results are lost (24 of 8000 at redis-py's 100).
result_backend_always_retry = True
result_backend_max_sleep_between_retries_ms = 1000
redis_socket_timeout = 3  # seconds
redis_socket_connect_timeout = 2  # seconds
redis_max_connections = 1000
