"""From a task call to a message in the outbox. The one module that touches Celery's internals for publishing.

Runs on whichever greenlet calls the task, mostly the loop's, and does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from celery.app.amqp import AMQP
from kombu import serialization
from kombu.compression import compress

from ringback.errors import BadArguments
from ringback.outbox import Message, Outbox


class OutboxAMQP(AMQP):  # type: ignore[misc]
    """Celery's ``app.amqp``, whose task messages go into an outbox: routing, headers and signals stay Celery's."""

    outbox: Outbox
    admit: Callable[[], None]  #: raises if no message may be made now

    @cached_property
    def send_task_message(self) -> Callable[..., None]:
        """Celery's sender, with the outbox in the place of its producer."""
        send = self._create_task_sender()

        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> None:
            send(self, name, message, **options)

        return send_task_message

    def publish(self, body: Any, **options: Any) -> None:
        """Serialise a task message as ``kombu.Producer.publish`` would, and put it into the outbox.

        :raises BadArguments: the arguments cannot be serialised.
        :raises Refused: the broker is away, or this process is shutting down.
        :raises OutboxFull: as it says; nothing was published.
        """
        self.admit()
        headers, call_id = options.pop("headers"), options.pop("correlation_id")
        try:
            content_type, encoding, data = serialization.dumps(body, options.pop("serializer"))
        except Exception as error:
            raise BadArguments(f"the arguments cannot be serialised: {error}", call_id) from error
        if compression := options.pop("compression"):
            data, headers["compression"] = compress(data, compression)
        exchange = options.pop("exchange")
        self.outbox.put(
            Message(
                call_id=call_id,
                body=data if isinstance(data, bytes) else data.encode(encoding),
                content_type=content_type,
                content_encoding=encoding,
                headers=headers,
                properties=_properties(call_id, options),
                exchange=getattr(exchange, "name", exchange),
                routing_key=options.pop("routing_key"),
                priority=options.pop("priority", None),
                declare=options.pop("declare") or (),
            )
        )


def _properties(call_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """The AMQP properties of a task message; kombu gives the expiration in seconds, AMQP wants a string of ms."""
    mode = options.get("delivery_mode")
    expiration = options.get("expiration")
    properties = {
        "correlation_id": call_id,
        "reply_to": options.get("reply_to"),
        "delivery_mode": 1 if mode in (1, "transient") else 2,
        "expiration": None if expiration is None else str(int(expiration * 1000)),
    }
    return {name: value for name, value in properties.items() if value is not None}
