"""A worker's replies, sent until they have arrived."""

import itertools
import os
import time
from collections import deque
from contextlib import suppress
from functools import cached_property, partial
from threading import Event, Lock, Thread
from types import SimpleNamespace

from amqp import Message
from amqp.exceptions import MessageNacked
from amqp.method_framing import frame_writer
from amqp.serialization import dumps as publish_arguments
from amqp.spec import Basic
from celery.backends.redis import RedisBackend
from celery.backends.rpc import RPCBackend
from celery.utils.log import get_logger
from kombu.exceptions import OperationalError
from kombu.serialization import dumps

logger = get_logger(__name__)


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
        connection = self.app.connection_for_write(heartbeat=self.app.conf.broker_heartbeat, transport_options=options)
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


class ConfirmedReplies(RPCBackend):
    """Sends a reply until the broker has confirmed it; Celery gives up after 20 s and makes the task a failure.

    So a worker that is told to end while its broker is away waits for the broker; told a second time, it ends.
    """

    link = None
    linking = Lock()

    @cached_property
    def speaks_amqp(self):
        """Whether the broker confirms messages; by way of others, replies are sent as Celery sends them."""
        return self.app.connection_for_write().transport.driver_name == "py-amqp"

    def mark_as_revoked(self, task_id, reason="", request=None, **kwargs):
        """As Celery's, which is also called for each order, without a request, and by a greenlet that it has killed."""
        mark = partial(super().mark_as_revoked, task_id, reason, request, **kwargs)
        if request:
            Thread(target=mark).start() if reason == "terminated" else mark()

    def store_result(self, task_id, result, state, traceback=None, request=None, **kwargs):
        """As Celery's, but for how the reply is sent."""
        if not self.speaks_amqp:
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
        if self.link is None or self.link.pid != os.getpid():  # a child of a prefork pool
            with self.linking:
                if self.link is None or self.link.pid != os.getpid():
                    self.link = ReplyLink(self.app)
        return self.link


class RedisReplies(RedisBackend):
    """As Celery's, but an order to revoke a task does not make a task revoked that runs all the same."""

    def mark_as_revoked(self, task_id, reason="", request=None, **kwargs):
        """As Celery's, which is also called for each order, without a request."""
        if request:
            super().mark_as_revoked(task_id, reason, request, **kwargs)
