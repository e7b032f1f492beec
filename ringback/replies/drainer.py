"""The greenlet that reads replies, and how a reply reaches its call. It touches Celery's internals, as this wing does.

All of it runs on the drainer greenlet, except what Celery calls when a task is called (``on_task_call``,
``consume_from``, ``cancel_for``), which therefore does no I/O. No exception of a reply ends the drainer, and a lost
connection is rebuilt, with the same queue, for as long as it takes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from celery import states
from celery.backends.asynchronous import BaseResultConsumer, geventDrainer
from gevent.event import Event
from kombu.utils.json import object_hook

from ringback.errors import ResultTooLarge, RingbackError, UnreadableReply
from ringback.settings import Settings
from ringback.wire import ReconnectBackoff, keep_connected

logger = logging.getLogger(__name__)

#: The content type that is read, whatever the app accepts: a pickle from the network is a program from the network.
JSON = frozenset({"application/json"})

#: Kombu's decoding, which makes a decoder for each reply.
from_json = json.JSONDecoder(object_hook=object_hook).decode


class ReplyDrainer(geventDrainer):  # type: ignore[misc]
    """Celery's gevent drainer, kept alive: after any failure it opens the consumer again, with growing pauses."""

    def run(self) -> None:
        """Drain until ``stop`` is called."""
        self._started.set()
        consumer = self.result_consumer
        keep_connected(self._drain, consumer.backoff, "replies", self._stopped.is_set, self._stopped.wait)
        consumer.close()
        self._send_drain_complete_event()
        self._shutdown.set()

    def stop(self) -> None:
        """End the drainer. What takes longer than the connect time-out ends with the process."""
        self._stopped.set()
        self._shutdown.wait(self.result_consumer.backend.settings.connect_timeout)

    def _drain(self) -> None:
        consumer = self.result_consumer
        try:
            consumer.open()
            logger.info("listening for replies")
            consumer.backoff.connected()
            consumer.ready.set()
            while not self._stopped.is_set():
                consumer.drain_events(timeout=1.0)
                if self._drain_complete_event.linkcount():  # a greenlet waits in Celery's ``get``
                    self._send_drain_complete_event()
        except BaseException:
            consumer.disconnect()
            raise


class ReplyConsumer(BaseResultConsumer):  # type: ignore[misc]
    """Hands each reply to its call, whichever way the reply came."""

    def __init__(self, backend: Any, *args: Any) -> None:
        super().__init__(backend, *args)
        self.accept = JSON
        self.drainer = ReplyDrainer(self)
        self.ready = Event()  #: set once replies can come
        self.backoff = ReconnectBackoff()

    def deliver(self, meta: Any, task_id: str | None) -> None:
        """Fulfil the call that waits for this reply. A reply without a call is dropped: Celery would keep it for ever.

        :param meta: the decoded reply, of any shape.
        :param task_id: the call that the reply's envelope names.
        """
        try:
            if meta["status"] not in states.READY_STATES:
                self.backend.on_update(meta["task_id"], meta)
            else:
                self._fulfil(meta["task_id"], meta)
        except Exception as error:
            self.refuse(task_id, error)

    def read(self, data: str | bytes, decode: Callable[[Any], Any], task_id: str | None) -> None:
        """Decode a reply that is not too large, and deliver it."""
        limit = self.backend.settings.result_limit
        try:
            if len(data) > limit:
                raise ResultTooLarge(f"the reply has {len(data)} bytes, and RINGBACK_RESULT_LIMIT is {limit}", task_id)
            meta = decode(data)
        except Exception as error:
            self.refuse(task_id, error)
        else:
            self.deliver(meta, task_id)

    def _fulfil(self, task_id: str, meta: Any) -> None:
        call = self.app.AsyncResult.known.get(task_id)
        if call is None:
            if any(task_id in table for table in self._pending_results):  # a result of Celery's own class
                self.on_state_change(meta, None)
            return
        if call.has_ended:
            return
        # What Celery's on_state_change does, without the switch of greenlets that it makes for each reply.
        if self.on_message:  # a greenlet waits in Celery's ``get``, or in ``join`` with a bucket
            self.on_message(meta)
        call._maybe_set_cache(meta)
        if self.buckets and (bucket := self.buckets.pop(call, None)) is not None:
            bucket.append(call)

    def when_listening(self, task_id: str, callback: Callable[[], object]) -> bool:
        """Whether no reply of this task can be missed any more; if not, ``callback`` is called once that is so.

        With a reply queue it is always so.
        """
        return True

    def refuse(self, task_id: str | None, error: Exception) -> None:
        """Tell the call that waits for this reply that the reply cannot be read."""
        logger.warning("dropped a reply that cannot be read (task %s): %r", task_id, error)
        if task_id is None:
            return
        if not isinstance(error, RingbackError):
            error = UnreadableReply(f"the worker's reply cannot be read: {error!r}", task_id)
        self.backend.on_unreadable(task_id, error)


class ReplyBackend:
    """What our two result backends add to Celery's."""

    results_are_shared = False  #: whether any process can get the result of any task
    settings: Settings
    on_unreadable: Callable[[str, RingbackError], None]  #: called with a task's id when its reply cannot be read
    on_update: Callable[[str, Any], None]  #: called with a task's id and a reply that is not its last one

    def forget_results(self, task_ids: Sequence[str]) -> None:
        """Remove stored results; waits for where they are stored. A reply queue stores none."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing. Celery makes a round trip here for every call: it declares the queue, or subscribes."""
