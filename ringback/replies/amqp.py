"""Replies from the broker's reply queue to the ``AsyncResult`` that waits for each. One of the two modules that touch
Celery's internals for replies; ``redis_replies`` is the other.

All of it runs on the drainer greenlet, except what Celery calls wherever a task is called (``on_task_call``,
``consume_from``, ``cancel_for``), which therefore does no I/O. No exception of a reply ends the drainer, and a lost
connection is rebuilt, with the same queue, for as long as it takes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from celery import states
from celery.backends import rpc
from celery.backends.asynchronous import BaseResultConsumer, geventDrainer
from gevent.event import Event
from kombu import Consumer, Queue
from kombu.utils.json import object_hook

from ringback.broker.link import Link, queue_arguments
from ringback.settings import Settings
from ringback.wire.backoff import ReconnectBackoff

logger = logging.getLogger(__name__)

#: What is read, whatever the app accepts: a pickle from the network is a program from the network.
JSON = frozenset({"application/json"})

#: So many replies are acknowledged together, or fewer when none has come for ``ACK_PAUSE`` seconds. What is lost with
#: its connection in between is delivered again, and dropped as nobody waits for it any more.
ACK_BURST = 64
ACK_PAUSE = 0.1


#: As kombu's, which makes a decoder for each reply.
_from_json = json.JSONDecoder(object_hook=object_hook).decode


class ReplyDrainer(geventDrainer):  # type: ignore[misc]
    """Celery's gevent drainer, kept alive: whatever ends it, it opens the consumer again, with growing pauses."""

    def run(self) -> None:
        """Drain until ``stop`` is called."""
        self._started.set()
        consumer = self.result_consumer
        while not self._stopped.is_set():
            try:
                consumer.open()
                logger.info("listening for replies")
                consumer.outage.end()
                consumer.ready.set()
                while not self._stopped.is_set():
                    consumer.drain_events(timeout=1.0)
                    if self._drain_complete_event.linkcount():  # a greenlet waits in Celery's ``get``
                        self._send_drain_complete_event()
            except Exception as error:
                pause = consumer.outage.next_attempt()
                logger.warning("no connection for replies, next attempt in %.1f s: %s", pause, error)
                consumer.abandon()
                self._stopped.wait(pause)
        consumer.close()
        self._send_drain_complete_event()
        self._shutdown.set()

    def stop(self) -> None:
        """End it; what takes too long ends with the process."""
        self._stopped.set()
        self._shutdown.wait(self.result_consumer.backend.settings.connect_timeout)


class ReplyConsumer(BaseResultConsumer):  # type: ignore[misc]
    """How a reply is handed out, whichever way it came."""

    def __init__(self, backend: Any, *args: Any) -> None:
        super().__init__(backend, *args)
        self.accept = JSON
        self.drainer = ReplyDrainer(self)
        self.ready = Event()  #: set once replies can come
        self.outage = ReconnectBackoff()

    def deliver(self, meta: Any, task_id: str | None) -> None:
        """Fulfil whoever waits for this reply. If nobody does, drop it: Celery would keep late ones for ever.

        :param meta: the decoded reply, of any shape.
        :param task_id: the call that its envelope names.
        """
        try:
            result = self._find(meta["task_id"])
            if result is None:
                return
            if meta["status"] not in states.READY_STATES:
                self.backend.on_update(meta["task_id"], meta)
            elif self.on_message or self.buckets:  # somebody waits on a greenlet, with Celery's ``get``
                self.on_state_change(meta, None)
            else:  # without the switch of greenlets that Celery makes for each
                result._maybe_set_cache(meta)
        except Exception as error:
            self.refuse(task_id, error)

    def _find(self, task_id: str) -> Any:
        try:
            return self._get_pending_result(task_id)
        except KeyError:
            return None

    def _get_pending_result(self, task_id: str) -> Any:
        """As Celery's, with our calls, which are not in its tables."""
        call = self.app.AsyncResult.known.get(task_id)
        if call is not None and not call.has_ended:
            return call
        return super()._get_pending_result(task_id)

    def when_listening(self, task_id: str, callback: Callable[[], object]) -> bool:
        """Whether no reply of this task can be missed, as always with a queue; if not, call back once it is so."""
        return True

    def refuse(self, task_id: str | None, error: Exception) -> None:
        """Tell whoever waits for this reply that it cannot be read."""
        logger.warning("dropped a reply that cannot be read (task %s): %r", task_id, error)
        if task_id is not None:
            self.backend.on_unreadable(task_id, error)


class ReplyBackend:
    """What our result backends have in common; the rest of each is Celery's."""

    settings: Settings
    on_unreadable: Callable[[str, Exception], None]  #: called with a task's id when its reply cannot be read
    on_update: Callable[[str, Any], None]  #: called with a task's id and a reply that is not its last one

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nothing to do. Celery makes a round trip here for every call: declares the queue, or subscribes."""


class QueueConsumer(ReplyConsumer):
    """Consumes this process's reply queue."""

    _link: Link | None = None
    _unacknowledged = 0
    _last_tag = 0

    def open(self) -> None:
        """Connect, declare the queue and consume from it.

        :raises Exception: the broker cannot be reached.
        """
        settings = self.backend.settings
        link = self._link = Link(self.app, settings, self.outage.attempts)
        self._unacknowledged = 0
        with link.within(settings.connect_timeout):
            Consumer(
                link.channel,
                [self.backend.binding],
                no_ack=not link.speaks_amqp,
                accept=self.accept,
                on_message=self._on_message,
            ).consume()

    def drain_events(self, timeout: float | None = None) -> None:
        """Handle the next reply, if one comes within ``timeout`` seconds, and acknowledge the last ones in time.

        :raises Exception: the connection is lost.
        """
        assert self._link is not None
        if not self._link.drain(ACK_PAUSE if self._unacknowledged else timeout or 1.0):
            self._acknowledge()
            self._link.beat()
        elif self._unacknowledged >= ACK_BURST:
            self._acknowledge()

    def abandon(self) -> None:
        """Drop the connection; the queue stays."""
        if self._link is not None:
            self._link.discard()
            self._link = None

    def close(self) -> None:
        """Delete the queue, since nobody will ask for what still comes, and drop the connection."""
        if self._link is None:
            return
        try:
            with self._link.within(self.backend.settings.connect_timeout):
                self.backend.binding(self._link.channel).delete()
        except self._link.errors as error:
            logger.warning("the reply queue is left to expire: %s", error)
        self.abandon()

    def consume_from(self, task_id: str) -> None:
        """Nothing to do: one queue is for all tasks, and the drainer has opened it."""

    def cancel_for(self, task_id: str) -> None:
        """Nothing to do, for the same reason."""

    def _on_message(self, message: Any) -> None:
        self._unacknowledged += 1
        self._last_tag = message.delivery_tag
        task_id = message.properties.get("correlation_id")
        try:
            plain = message.content_type in JSON and isinstance(message.body, str)
            meta = _from_json(message.body) if plain else message.decode()
        except Exception as error:
            self.refuse(task_id, error)
        else:
            self.deliver(meta, task_id)

    def _acknowledge(self) -> None:
        if self._unacknowledged and self._link and self._link.speaks_amqp:
            self._link.channel.basic_ack(self._last_tag, multiple=True)
        self._unacknowledged = 0


class ReplyQueueBackend(ReplyBackend, rpc.RPCBackend):  # type: ignore[misc]
    """Celery's ``rpc://``, with one durable queue per process that outlives its connection."""

    ResultConsumer = QueueConsumer

    @property
    def binding(self) -> Queue:
        """The reply queue. Not ``auto_delete``, as Celery's is, which loses what ends while the connection is lost."""
        return self.Queue(
            self.oid,
            self.exchange,
            self.oid,
            durable=True,
            expires=self.settings.reply_queue_expires,
            queue_arguments=queue_arguments(self.app),
        )

    def get_task_meta(self, task_id: str, backlog_limit: int = 1000) -> dict[str, Any]:
        """What ``AsyncResult.state`` shows until the reply is there; Celery would fetch others' replies to find it."""
        return {"status": states.PENDING, "result": None}
