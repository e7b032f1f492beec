"""From a task call to a message in the outbox. The one module that touches Celery's internals for publishing.

Runs on whichever greenlet calls the task, mostly the loop's, and does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from celery import signals
from celery._state import get_current_worker_task
from celery.app.amqp import AMQP
from celery.app.routes import MapRoute
from kombu.compression import compress
from kombu.utils.uuid import uuid

from ringback.publish.outbox import Message, Outbox
from ringback.publish.templates import MessageTemplate, serialise

#: The options of a call that its message's form may depend on. With any other, Celery makes the message itself.
TEMPLATE_OPTIONS = frozenset(
    {
        "task_type",
        "ignore_result",
        "serializer",
        "queue",
        "exchange",
        "routing_key",
        "priority",
        "delivery_mode",
        "time_limit",
        "soft_time_limit",
    }
)

ARGS, KWARGS = (tuple, list, type(None)), (dict, type(None))

#: Whoever listens to these sees each message as Celery makes it.
SIGNALS = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)

#: Forms that are kept; more than any app has tasks, and a bound for callers who choose among queues and priorities.
MAX_TEMPLATES = 1000


class OutboxAMQP(AMQP):  # type: ignore[misc]
    """Celery's ``app.amqp``, whose task messages go into an outbox: routing, headers and signals stay Celery's."""

    outbox: Outbox
    admit: Callable[[str, str | None], None]  #: raises if this task, by its id, may not go to this queue now

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self._forms: dict[object, MessageTemplate] = {}

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: Any = None,
        eta: Any = None,
        task_id: str | None = None,
        result_cls: Any = None,
        headers: Any = None,
        **options: Any,
    ) -> Any:
        """As ``app.send_task``. Celery makes a task's first message, and any that is out of the ordinary."""
        options |= {"countdown": countdown, "eta": eta}
        key = self._key(name, args, kwargs, options)
        form = self._forms.get(key)
        if form is None:
            options |= {"task_id": task_id, "result_cls": result_cls, "headers": headers}
            return self._send_first(key, name, args, kwargs, options)
        task_id = task_id or uuid()
        self.admit(task_id, form.queue)
        self.outbox.put(form.fill(task_id, args or (), kwargs or {}, headers or {}))
        result = (result_cls or self.app.AsyncResult)(task_id)
        result.ignored = options.get("ignore_result", False)
        return result

    def _key(self, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> object:
        """What calls have in common whose messages may have one form; ``None`` for a call that is like no other."""
        usual = all(value is None or option in TEMPLATE_OPTIONS for option, value in options.items())
        if not usual or any(signal.receivers for signal in SIGNALS) or get_current_worker_task() is not None:
            return None
        if args.__class__ not in ARGS or kwargs.__class__ not in KWARGS:
            return None
        key = (name, *options.items())
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _send_first(self, key: object, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
        result = type(self.app).send_task(self.app, name, args, kwargs, **options)
        if key is not None and not options["headers"] and self._is_predictable():
            sample = self.outbox.find(result.id)
            form = (
                MessageTemplate.of(sample, options.get("serializer") or self.app.conf.task_serializer)
                if sample
                else None
            )
            if form is not None and len(self._forms) < MAX_TEMPLATES:
                self._forms[key] = form
        return result

    def _is_predictable(self) -> bool:
        """Whether nothing but the task's name and options decides over its messages, and nobody wants to see each."""
        return (
            all(isinstance(route, MapRoute) for route in self.routes)
            and not self.app.conf.task_send_sent_event
            and type(self.app).send_task.__globals__["__name__"] == "celery.app.base"  # Sentry, for one, puts its own
        )

    @cached_property
    def send_task_message(self) -> Callable[..., None]:
        """Celery's sender, with the outbox in the place of its producer."""
        send = self._create_task_sender()

        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> None:
            queue = options.get("queue")
            self.admit(message.headers["id"], getattr(queue, "name", queue))
            send(self, name, message, **options)

        return send_task_message

    def publish(
        self,
        body: Any,
        *,
        exchange: Any,
        routing_key: str,
        serializer: str,
        headers: dict[str, Any],
        declare: list[Any] | None,
        delivery_mode: int | str | None,
        correlation_id: str,
        compression: str | None = None,
        priority: int | None = None,
        expiration: float | None = None,
        retry: object = None,
        retry_policy: object = None,
        timeout: object = None,
        confirm_timeout: object = None,
        **properties: Any,
    ) -> None:
        """Serialise a task message as ``kombu.Producer.publish`` does, and put it into the outbox.

        Retries and time-outs are the publisher's business; what is said of them here is ignored.

        :raises BadArguments: the arguments cannot be serialised.
        :raises OutboxFull: it is.
        """
        content_type, encoding, data = serialise(body, serializer, correlation_id)
        if compression:
            data, headers["compression"] = compress(data, compression)
        properties["correlation_id"] = correlation_id
        properties["delivery_mode"] = 1 if delivery_mode in (1, "transient") else 2
        if expiration is not None:
            properties["expiration"] = str(int(expiration * 1000))  # AMQP wants a string of ms
        self.outbox.put(
            Message(
                call_id=correlation_id,
                body=data,
                content_type=content_type,
                content_encoding=encoding,
                headers=headers,
                properties=properties,
                exchange=getattr(exchange, "name", exchange),
                routing_key=routing_key,
                priority=priority,
                declare=declare or (),
            )
        )

    def revoke(self, task_id: str, terminate: bool) -> None:
        """Put the order to revoke a task into the outbox. Celery's own ``control.revoke`` waits for the broker.

        The message is the one of ``celery.app.control.Control.revoke``; every worker that listens gets it.

        :param terminate: stop the task if it is running.
        """
        exchange = self.app.control.mailbox.exchange
        self.publish(
            {
                "method": "revoke",
                "arguments": {"task_id": task_id, "terminate": terminate, "signal": "SIGTERM"},
                "destination": None,
                "pattern": None,
                "matcher": None,
            },
            exchange=exchange,
            routing_key="",
            serializer="json",
            headers={"clock": self.app.clock.forward(), "expires": 0},
            declare=[exchange],
            delivery_mode="transient",
            correlation_id=f"revoke-{task_id}",
        )
