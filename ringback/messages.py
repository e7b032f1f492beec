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
    admit: Callable[[str, str | None], None]  #: raises if this task, by its id, may not go to this queue now

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
        try:
            content_type, encoding, data = serialization.dumps(body, serializer)
        except Exception as error:
            raise BadArguments(f"the arguments cannot be serialised: {error}", correlation_id) from error
        if compression:
            data, headers["compression"] = compress(data, compression)
        properties["correlation_id"] = correlation_id
        properties["delivery_mode"] = 1 if delivery_mode in (1, "transient") else 2
        if expiration is not None:
            properties["expiration"] = str(int(expiration * 1000))  # AMQP wants a string of ms
        self.outbox.put(
            Message(
                call_id=correlation_id,
                body=data if isinstance(data, bytes) else data.encode(encoding),
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
