"""Celery's result backends as a worker uses them. Run wherever a task runs: on a greenlet, a thread or a process."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from threading import Lock, Thread
from typing import Any

from amqp import Message
from celery import states
from celery.backends.redis import RedisBackend, SentinelBackend
from celery.backends.rpc import RPCBackend
from celery.exceptions import BackendStoreError
from kombu.serialization import dumps

from ringback import upgrade_guard
from ringback.wire.redis import connect_backend
from ringback.worker.reply_link import Reply, ReplyLink, ReplyRefused
from ringback.worker.result_writer import Result, ResultWriter

logger = logging.getLogger(__name__)

#: Seconds between two lines that say that results cannot be stored: every task tries once a second.
LOG_INTERVAL = 10.0

#: Bytes; Redis takes no lower ``proto-max-bulk-len`` than this.
SMALLEST_LIMIT = 1_048_576

#: Attempts to store a larger value while Redis answers.
LARGE_TRIES = 3


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
        """Send a reply, as Celery's does, but on the link of this process.

        :raises ReplyRefused: the broker will never take it; Celery then makes the task a failure.
        """
        store = self._send if self.speaks_amqp else super().store_result
        return store_what_is_taken(store, task_id, result, state, traceback, request, **kwargs)

    def _send(self, task_id: str, result: Any, state: str, traceback: Any, request: Any, **_: Any) -> Any:
        routing_key, correlation_id = self.destination_for(task_id, request)
        if routing_key:
            content = self._to_result(task_id, state, result, traceback, request)
            content_type, encoding, body = dumps(content, self.serializer)
            properties = {"content_type": content_type, "content_encoding": encoding, "application_headers": {}}
            body = body.encode(encoding) if isinstance(body, str) else body
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

    _silent_until = 0.0
    _writer: tuple[int, ResultWriter] | None = None  # with the id of its process
    _starting = Lock()

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Whether an attempt to store a result may be made again. Logs why, which Celery does not."""
        again = bool(super().exception_safe_to_retry(exc))
        if again and time.monotonic() > self._silent_until:
            self._silent_until = time.monotonic() + LOG_INTERVAL
            logger.warning("no connection for results: %s: %s", type(exc).__name__, exc)
        return again

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store a result, as Celery's does.

        :raises ReplyRefused: Redis does not take it; Celery then makes the task a failure.
        """
        return store_what_is_taken(super().store_result, task_id, result, state, traceback, request, **kwargs)

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Do what Celery's does, which asks Redis for the state before: the writer does so on the way."""
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        value = self.encode(meta)
        if len(value) > SMALLEST_LIMIT:
            return super()._store_result(task_id, result, state, traceback, request=request, **kwargs)
        self._writer_of_process().store(Result(self.get_key_for_task(task_id), value, self.expires))
        return result

    def set(self, key: Any, value: Any, **retry_policy: Any) -> Any:
        """Set a key, and publish its value on the channel of that name.

        :raises ReplyRefused: Redis does not take it, as when it is larger than 512 MB.
        """
        try:
            if len(value) > SMALLEST_LIMIT:
                return self._set_large(key, value, **retry_policy)
            return super().set(key, value, **retry_policy)
        except (BackendStoreError, self.redis.ResponseError) as error:
            raise ReplyRefused(f"a result of {len(value)} bytes is refused: {error}") from error

    def _writer_of_process(self) -> ResultWriter:
        if self._writer is None or self._writer[0] != os.getpid():  # a child of a prefork pool
            with self._starting:
                upgrade_guard.check(upgrade_guard.REDIS_RESULTS)
                if self._writer is None or self._writer[0] != os.getpid():
                    self._writer = os.getpid(), ResultWriter(partial(connect_backend, self))
        return self._writer[1]

    def _set_large(self, key: Any, value: Any, **retry_policy: Any) -> Any:
        """Set a key to a large value. Redis cuts the connection when one is over its ``proto-max-bulk-len``."""
        for _ in range(LARGE_TRIES):
            try:
                return super().set(key, value, **{**retry_policy, "max_retries": 1})
            except self.connection_errors as error:
                last = error
                self.client.ping()  # if Redis is away, the value is not to blame
        raise ReplyRefused(f"a result of {len(value)} bytes is refused {LARGE_TRIES} times: {last}") from last


class SentinelReplies(RedisReplies, SentinelBackend):  # type: ignore[misc]
    """The same for Celery's ``sentinel://``."""


def store_what_is_taken(
    store: Callable[..., Any], task_id: str, result: Any, state: str, traceback: Any, request: Any, **kwargs: Any
) -> Any:
    """Store a result, and in the place of a failure that is refused a short failure that says why.

    :raises ReplyRefused: a result, or a state of the task's own, is refused.
    """
    try:
        return store(task_id, result, state, traceback, request, **kwargs)
    except ReplyRefused as refusal:
        if state not in states.EXCEPTION_STATES:
            raise
        logger.error("task %s is %s, and that cannot be told: %s", task_id, state, refusal)
        if state in states.READY_STATES:
            with suppress(ReplyRefused):  # then the caller learns of it by the deadline
                store(task_id, refusal, states.FAILURE, None, request)
        return result
