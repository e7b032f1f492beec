"""From a task call to a message. The one module that touches Celery's internals for publishing.

Runs on the greenlet that calls the task, mostly the loop's, and does no I/O.
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

from ringback.broker import Message
from ringback.call_ids import new_call_id
from ringback.publish.templates import MessageTemplate, serialise, shown
from ringback.wire import CheckedConnection

#: The options of a call that its message's template may depend on. With any other, Celery makes the message itself.
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

ARGS_TYPES, KWARGS_TYPES = (tuple, list, type(None)), (dict, type(None))

#: Receivers of these signals see each message as Celery makes it, so templates are not used while there are any.
SIGNALS = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)

#: Templates that are kept: more than any app has tasks, and a bound for callers that choose queues and priorities.
MAX_TEMPLATES = 1000


class OutboxAMQP(AMQP):  # type: ignore[misc]
    """Celery's ``app.amqp``, which hands its task messages over: routing, headers and signals stay Celery's.

    :param admit: called with a call's id and its queue's name before its message is made; raises if it may not be made.
    :param accept: called with each message.
    """

    Connection = CheckedConnection

    def __init__(self, app: Any, admit: Callable[[str, str | None], None], accept: Callable[[Message], None]) -> None:
        super().__init__(app)
        self._admit, self._accept = admit, accept
        self._templates: dict[object, MessageTemplate] = {}

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
        """Do what ``app.send_task`` does. Celery makes the first message of a task, and each with unusual options."""
        options |= {"countdown": countdown, "eta": eta}
        key = self._template_key(name, args, kwargs, options)
        template = self._templates.get(key)
        if template is None:
            options |= {"task_id": task_id or new_call_id(), "result_cls": result_cls, "headers": headers}
            options.setdefault("argsrepr", shown(args or ()))
            options.setdefault("kwargsrepr", shown(kwargs or {}))
            if key is not None and not headers and self._is_predictable():
                options["template_key"] = key
            return type(self.app).send_task(self.app, name, args, kwargs, **options)
        task_id = task_id or new_call_id()
        self._admit(task_id, template.queue)
        self._accept(template.render(task_id, args or (), kwargs or {}, headers or {}))
        result = (result_cls or self.app.AsyncResult)(task_id)
        result.ignored = options.get("ignore_result", False)
        return result

    def _template_key(self, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> object:
        """What calls have in common whose messages may share a template; ``None`` for a call that shares none."""
        usual = all(value is None or option in TEMPLATE_OPTIONS for option, value in options.items())
        if not usual or any(signal.receivers for signal in SIGNALS) or get_current_worker_task() is not None:
            return None
        if args.__class__ not in ARGS_TYPES or kwargs.__class__ not in KWARGS_TYPES:
            return None
        key = (name, *options.items())
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _is_predictable(self) -> bool:
        """Whether a task's messages depend on nothing but its name and options, and nothing observes each of them."""
        return (
            all(isinstance(route, MapRoute) for route in self.routes)
            and not self.app.conf.task_send_sent_event
            and type(self.app).send_task.__globals__["__name__"] == "celery.app.base"  # Sentry, for one, replaces it
        )

    @cached_property
    def send_task_message(self) -> Callable[..., None]:
        """Celery's sender of task messages, with ``publish`` in the place of its producer."""
        send = self._create_task_sender()

        def send_task_message(
            producer: Any, name: str, message: Any, template_key: object = None, **options: Any
        ) -> None:
            for shown_already in ("argsrepr", "kwargsrepr"):  # in the message's headers
                options.pop(shown_already, None)
            queue = options.get("queue")
            self._admit(message.headers["id"], getattr(queue, "name", queue))
            sample = send(self, name, message, **options)
            if template_key is not None:
                self._keep_template(template_key, sample, options.get("serializer"))

        return send_task_message

    def _keep_template(self, key: object, sample: Message, serializer: str | None) -> None:
        template = MessageTemplate.of(sample, serializer or self.app.conf.task_serializer)
        if template is None:
            return
        if len(self._templates) >= MAX_TEMPLATES:
            del self._templates[next(iter(self._templates))]
        self._templates[key] = template

    def publish(self, body: Any, **options: Any) -> Message:
        """Make the message of a task and hand it over. Celery's sender calls this in the place of ``kombu.Producer``.

        :raises BadArguments: the arguments cannot be serialised.
        """
        for name in ("retry", "retry_policy", "timeout", "confirm_timeout"):  # these are the publisher's task
            options.pop(name, None)
        message = make_message(body, **options)
        self._accept(message)
        return message

    def revoke_command(self, task_id: str, terminate: bool) -> Message:
        """The command that tells every worker to revoke a task. Celery's own ``control.revoke`` waits for the broker.

        It is the message of ``celery.app.control.Control.revoke``.

        :param terminate: stop the task if it is running.
        """
        exchange = self.app.control.mailbox.exchange
        return make_message(
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
            correlation_id=uuid(),
        )


def make_message(
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
    **properties: Any,
) -> Message:
    """Serialise a message as ``kombu.Producer.publish`` does, whose parameters these are.

    :raises BadArguments: the body cannot be serialised.
    """
    content_type, encoding, data = serialise(body, serializer, correlation_id)
    if compression:
        data, headers["compression"] = compress(data, compression)
    properties["correlation_id"] = correlation_id
    properties["delivery_mode"] = 1 if delivery_mode in (1, "transient") else 2
    if expiration is not None:
        properties["expiration"] = str(int(expiration * 1000))  # AMQP wants a string of ms
    return Message(
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
