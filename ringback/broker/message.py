"""One serialised message on its way to the broker. Pure data; any greenlet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any


@dataclass(slots=True)
class Message:
    """One serialised message, with everything that its publish needs."""

    call_id: str
    body: bytes
    content_type: str
    content_encoding: str
    headers: dict[str, Any]
    properties: dict[str, Any]
    exchange: str
    routing_key: str
    priority: int | None
    declare: Iterable[Any]  #: kombu entities that must exist before it is published
    born: float = field(default_factory=time.monotonic)
    tries: int = 0
    on_confirmed: Callable[[], object] | None = None  #: called on the publisher's reader greenlet
    encode: Callable[[Message], Any] | None = None  #: a shorter way than the transport's to encode it for AMQP

    @property
    def queue(self) -> str | None:
        """The name of the queue that it goes to, if Celery has said which."""
        return next((entity.name for entity in self.declare), None)

    @property
    def is_delayed(self) -> bool:
        """Whether a worker holds it until a moment to come."""
        return self.headers.get("eta") is not None

    @property
    def expires(self) -> float | None:
        """Seconds, counted from its publish, after which a worker must not start the task any more."""
        expiration = self.properties.get("expiration")
        return int(expiration) / 1000 if expiration is not None else None

    def expire_after(self, seconds: float) -> None:
        """Tell the broker and the worker to drop the task when ``seconds`` have passed.

        The broker counts the message's TTL by itself (RabbitMQ, "Time-To-Live"); the worker compares the header with
        its own clock (Celery task protocol 2, ``expires``).
        """
        self.properties["expiration"] = str(int(seconds * 1000))
        self.headers["expires"] = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()

    def was_kept_back(self) -> None:
        """Note that it leaves only now. Its publish time-out begins now, and the rest of its lifetime is shorter."""
        now = time.monotonic()
        if self.expires is not None:
            self.properties["expiration"] = str(max(1, int((self.expires - (now - self.born)) * 1000)))
        self.born = now

    def stay_queued(self) -> None:
        """Have the broker keep the message past its expiry: it would drop it silently, where a worker reports it."""
        self.properties.pop("expiration", None)
