"""Every graft on a Celery app, in one place. Runs once, on the main greenlet, before any task is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from celery import Celery

from ringback import upgrade_guard
from ringback.broker import check_broker, is_redis
from ringback.calls.call import Call, Exchange
from ringback.errors import BadSetting, RingbackError
from ringback.publish import Message, OutboxAMQP
from ringback.replies import BACKENDS, JSON, ReplyConsumer
from ringback.settings import Settings, check_url, without_password
from ringback.wire import check_certificates


def check_app(app: Celery) -> None:
    """Check that the app's results can ring back.

    :raises BadSetting: its result backend, its result serializer or its broker cannot be used.
    :raises UnsupportedVersion: a library lacks a name that this needs.
    """
    upgrade_guard.check(upgrade_guard.WEB_PROCESS)
    url = str(app.conf.result_backend)
    if url.partition(":")[0].partition("+")[0] not in BACKENDS:  # as in redis+socket://
        raise BadSetting(f"result backend {without_password(url)!r} cannot ring back: use rpc:// or redis://")
    check_url("RESULT_BACKEND", url)
    check_broker(app)
    if not url.startswith("rpc:"):
        upgrade_guard.check(upgrade_guard.REDIS_RESULTS)
    if is_redis(app):
        upgrade_guard.check(upgrade_guard.REDIS_BROKER)
    if url.startswith("rpc:") and is_redis(app):
        raise BadSetting(
            "result backend 'rpc://' on a Redis broker: replies can be lost there, and each process that dies leaves a"
            " list behind; use redis://, such as the broker's own address"
        )
    if app.conf.result_serializer != "json":
        raise BadSetting(f"result_serializer {app.conf.result_serializer!r}: only 'json' is read, never pickle")


class QueueNames:
    """The names of the queues that the app knows, and of those that a caller may choose beside them."""

    def __init__(self, app: Celery, chosen: Sequence[str]) -> None:
        self._app, self._chosen = app, chosen

    def __call__(self) -> list[str]:
        """Collect all these names, sorted."""
        return sorted({*self._routed, *self._app.amqp.queues, *self._chosen})

    @cached_property
    def _routed(self) -> list[str]:
        """The queues to which the app's router sends its tasks. Asking the router makes the app know them."""
        for task in self._app.tasks:
            self._app.amqp.router.route({}, task)
        return list(self._app.amqp.queues)


def graft_results(app: Celery, exchange: Exchange) -> type[Call]:
    """Make the app hand out calls, each of which knows the switchboard; returns their class."""
    # Set explicitly: Celery looks this setting up for each call, and finds a default only after three other places.
    app.conf.task_always_eager = app.conf.task_always_eager
    app.loader.override_backends = {**app.loader.override_backends, **BACKENDS}
    check_certificates(app)  # before there is a backend
    # Celery keeps the backend and the name of the reply queue per thread, which under gevent is per greenlet.
    app._local = SimpleNamespace(oid=f"ringback.reply.{uuid4()}")
    app.AsyncResult = type("Call", (Call,), {"app": app, "switchboard": exchange, "known": WeakValueDictionary()})
    calls: type[Call] = app.AsyncResult
    return calls


def graft_replies(
    app: Celery,
    settings: Settings,
    on_unreadable: Callable[[str, RingbackError], None],
    on_update: Callable[[str, Any], None],
) -> ReplyConsumer:
    """Make the app's replies come through our backend; returns the consumer, which is not started yet."""
    backend = app.backend
    backend.settings, backend.accept = settings, JSON
    backend.on_unreadable, backend.on_update = on_unreadable, on_update
    consumer: ReplyConsumer = backend.result_consumer
    return consumer


def graft_messages(
    app: Celery, admit: Callable[[str, str | None], None], accept: Callable[[Message], None]
) -> OutboxAMQP:
    """Make the app's task messages come to ``accept``."""
    amqp = OutboxAMQP(app, admit, accept)
    app.amqp, app.send_task = amqp, amqp.send_task
    return amqp
