"""Replies from the broker's reply queue. Runs on the drainer greenlet, as ``drainer`` says."""

from __future__ import annotations

import logging
from typing import Any

from celery import states
from celery.backends import rpc
from kombu import Consumer, Queue

from ringback.broker import Link, connect, queue_arguments
from ringback.replies.drainer import JSON, ReplyBackend, ReplyConsumer, from_json

logger = logging.getLogger(__name__)

#: So many replies are acknowledged together, or fewer when none has come for ``ACK_PAUSE`` seconds. A reply that is
#: lost with its connection in between is delivered again, and dropped because its call has ended.
ACK_BURST = 64
ACK_PAUSE = 0.1


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
        link = self._link = connect(self.app, settings, self.backoff.attempts)
        self._unacknowledged = 0
        with link.within(settings.connect_timeout):
            Consumer(
                link.channel,
                [self.backend.binding],
                no_ack=not link.acknowledges,
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

    def disconnect(self) -> None:
        """Drop the connection; the queue stays."""
        if self._link is not None:
            self._link.discard()
            self._link = None

    def close(self) -> None:
        """Delete the queue, since this process will not read what still comes, and drop the connection."""
        if self._link is None:
            return
        try:
            with self._link.within(self.backend.settings.connect_timeout):
                self.backend.binding(self._link.channel).delete()
        except self._link.errors as error:
            logger.warning("the reply queue is left to expire: %s", error)
        self.disconnect()

    def consume_from(self, task_id: str) -> None:
        """Do nothing: one queue is for all tasks, and the drainer has opened it."""

    def cancel_for(self, task_id: str) -> None:
        """Do nothing, for the same reason."""

    def _on_message(self, message: Any) -> None:
        self._unacknowledged += 1
        self._last_tag = message.delivery_tag
        task_id = message.properties.get("correlation_id")
        plain = message.content_type in JSON and isinstance(message.body, str)
        self.read(message.body, from_json if plain else lambda _: message.decode(), task_id)

    def _acknowledge(self) -> None:
        if self._unacknowledged and self._link and self._link.acknowledges:
            self._link.channel.basic_ack(self._last_tag, multiple=True)
        self._unacknowledged = 0


class ReplyQueueBackend(ReplyBackend, rpc.RPCBackend):  # type: ignore[misc]
    """Celery's ``rpc://``, with one durable queue per process that outlives its connection."""

    ResultConsumer = QueueConsumer

    @property
    def binding(self) -> Queue:
        """The reply queue. Celery's is ``auto_delete`` and loses what comes while the connection is lost."""
        return self.Queue(
            self.oid,
            self.exchange,
            self.oid,
            durable=True,
            expires=self.settings.reply_queue_expires,
            queue_arguments=queue_arguments(self.app),
        )

    def get_task_meta(self, task_id: str, backlog_limit: int = 1000) -> dict[str, Any]:
        """What ``AsyncResult.state`` shows until the reply is here; Celery would fetch other calls' replies."""
        return {"status": states.PENDING, "result": None}
