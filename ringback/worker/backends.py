"""Celery's result backends as a worker uses them. Run wherever a task runs: on a greenlet, a thread or a process."""

from __future__ import annotations

import os
from functools import cached_property, partial
from threading import Lock, Thread
from typing import Any

from amqp import Message
from celery.backends.redis import RedisBackend
from celery.backends.rpc import RPCBackend
from kombu.serialization import dumps

from ringback.worker.reply_link import Reply, ReplyLink


class ConfirmedReplies(RPCBackend):  # type: ignore[misc]
    """Sends a reply until the broker has confirmed it; Celery gives up after 20 s and makes the task a failure.

    So a worker that gets SIGTERM while its broker is away waits for the broker; at the second SIGTERM it ends.
    """

    _link: tuple[int, ReplyLink] | None = None  # with the id of its process
    _linking = Lock()

    @cached_property
    def speaks_amqp(self) -> bool:
        """Whether the broker confirms messages; over other transports replies are sent as Celery sends them."""
        return bool(self.app.connection_for_write().transport.driver_name == "py-amqp")

    def mark_as_revoked(self, task_id: str, reason: str = "", request: Any = None, **kwargs: Any) -> None:
        """Report a task as revoked that this worker has dropped.

        Celery calls this for each revoke command as well, without a request; and on a greenlet that it has killed.
        """
        mark = partial(super().mark_as_revoked, task_id, reason, request, **kwargs)
        if request:
            Thread(target=mark).start() if reason == "terminated" else mark()

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Send a reply, as Celery's does, but on the link of this process."""
        if not self.speaks_amqp:
            return super().store_result(task_id, result, state, traceback, request, **kwargs)
        routing_key, correlation_id = self.destination_for(task_id, request)
        if routing_key:
            content = self._to_result(task_id, state, result, traceback, request)
            content_type, encoding, body = dumps(content, self.serializer)
            properties = {"content_type": content_type, "content_encoding": encoding, "application_headers": {}}
            message = Message(body, correlation_id=correlation_id, delivery_mode=self.delivery_mode, **properties)
            self._link_of_process().send(Reply(routing_key, message))
        return result

    def _link_of_process(self) -> ReplyLink:
        if self._link is None or self._link[0] != os.getpid():  # a child of a prefork pool
            with self._linking:
                if self._link is None or self._link[0] != os.getpid():
                    self._link = os.getpid(), ReplyLink(self.app)
        return self._link[1]


class RedisReplies(RedisBackend):  # type: ignore[misc]
    """Celery's ``redis://``, where a revoke command does not mark a task as revoked that runs all the same."""

    def mark_as_revoked(self, task_id: str, reason: str = "", request: Any = None, **kwargs: Any) -> None:
        """Report a task as revoked that this worker has dropped. For a revoke command Celery passes no request."""
        if request:
            super().mark_as_revoked(task_id, reason, request, **kwargs)
