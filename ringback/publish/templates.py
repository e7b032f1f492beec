"""What the messages of a task have in common: worked out once by Celery, and completed for each call after that.

Celery looks up routes, settings and signals for every message, and py-amqp encodes every header anew, although four in
five never change. Runs on the greenlet that calls the task or publishes its message; no I/O.
"""

from __future__ import annotations

from itertools import islice
from struct import pack
from typing import Any

import amqp
from amqp.serialization import dumps
from celery.utils.saferepr import saferepr
from kombu import serialization

from ringback.broker import Message
from ringback.errors import BadArguments

#: The headers that differ from call to call (Celery, "Task message protocol", version 2).
VARYING_HEADERS = frozenset({"id", "root_id", "argsrepr", "kwargsrepr", "expires"})

#: The third part of a body: no callback, chain or chord follows the task (same page).
NOTHING_FOLLOWS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

#: The flags of the basic properties that all these messages have: content type and encoding, headers, delivery mode,
#: correlation id, reply-to; and of two that some have (AMQP 0-9-1, 1.8.2 and 4.2.6.1).
FLAGS, PRIORITY, EXPIRATION = 0xF600, 0x0800, 0x0100

#: Of values of these types ``repr`` gives what Celery's ``saferepr`` gives, in a twentieth of the time. So it does of
#: strings in which ``repr`` escapes nothing, which ``saferepr`` does not, and which ``saferepr`` does not shorten.
PLAIN_TYPES = frozenset({int, float, bool, type(None)})
LONGEST_PLAIN = 100  # characters

#: The most characters of the arguments that Celery shows (``argsrepr_maxsize``).
LONGEST_REPR = 1024

#: The levels of lists and dicts that it shows; of deeper ones it says that they are there.
LEVELS = 3


class MessageTemplate:
    """The template of the messages of one task when it is called with the same options.

    :param sample: a message that Celery has made.
    :param serializer: the serializer of the arguments.
    """

    def __init__(self, sample: Message, serializer: str) -> None:
        # Not the sample itself, which knows the call that it was made for.
        self._exchange, self._routing_key, self._declare = sample.exchange, sample.routing_key, sample.declare
        self._priority, self._serializer = sample.priority, serializer
        self.queue = sample.queue  #: to which they go
        self._headers = {name: value for name, value in sample.headers.items() if name not in VARYING_HEADERS}
        self._properties = {name: sample.properties[name] for name in ("reply_to", "delivery_mode")}
        self._flags = FLAGS if sample.priority is None else FLAGS | PRIORITY
        self._head = _short(sample.content_type) + _short(sample.content_encoding)
        self._table = dumps("F", [self._headers])[4:]  # without its length
        octets = [sample.properties["delivery_mode"], *([] if sample.priority is None else [sample.priority])]
        self._middle = bytes(octets)
        self._reply_to = _short(sample.properties["reply_to"])

    @classmethod
    def of(cls, sample: Message, serializer: str) -> MessageTemplate | None:
        """The template of this message; ``None`` if it has properties that a template does not know."""
        usual = {"reply_to", "delivery_mode", "correlation_id"} == sample.properties.keys()
        return cls(sample, serializer) if usual and "compression" not in sample.headers else None

    def render(self, call_id: str, args: Any, kwargs: Any, headers: dict[str, str]) -> Message:
        """Make the message of one call.

        :param headers: further headers, which win over those of the template.
        :raises BadArguments: the arguments cannot be serialised.
        """
        content_type, encoding, body = serialise((args, kwargs, NOTHING_FOLLOWS), self._serializer, call_id)
        varying = {
            "id": call_id,
            "root_id": call_id,
            "argsrepr": shown(args),
            "kwargsrepr": shown(kwargs),
            "expires": None,
        }
        return Message(
            call_id=call_id,
            body=body,
            content_type=content_type,
            content_encoding=encoding,
            headers={**self._headers, **varying, **headers},
            properties={**self._properties, "correlation_id": call_id},
            exchange=self._exchange,
            routing_key=self._routing_key,
            priority=self._priority,
            declare=self._declare,
            encode=None if headers.keys() & self._headers.keys() else self._encode,  # its table has those already
        )

    def _encode(self, message: Message) -> amqp.Message:
        """Make py-amqp's message, with its properties encoded."""
        own = {name: value for name, value in message.headers.items() if name not in self._headers}
        table = self._table + dumps("F", [own])[4:]
        expiration = message.properties.get("expiration")
        parts = [
            pack(">H", self._flags if expiration is None else self._flags | EXPIRATION),
            self._head,
            pack(">I", len(table)),
            table,
            self._middle,
            _short(message.call_id),
            self._reply_to,
            b"" if expiration is None else _short(expiration),
        ]
        return _Encoded(message.body, b"".join(parts))


class _Encoded(amqp.Message):  # type: ignore[misc]
    """A message whose properties are encoded already. Py-amqp's frame writer asks for them by this private name."""

    def __init__(self, body: bytes, encoded: bytes) -> None:
        super().__init__(body)
        self._encoded = encoded

    def _serialize_properties(self) -> bytes:
        return self._encoded


def serialise(body: Any, serializer: str, call_id: str) -> tuple[str, str, bytes]:
    """Encode a message's body; returns its content type, content encoding and bytes.

    :raises BadArguments: it cannot be serialised.
    """
    try:
        content_type, encoding, data = serialization.dumps(body, serializer)
    except Exception as error:
        raise BadArguments(f"the arguments cannot be serialised: {error}", call_id) from error
    return content_type, encoding, data if isinstance(data, bytes) else data.encode(encoding)


def _short(text: str) -> bytes:
    data = text.encode()
    return pack("B", len(data)) + data


def shown(values: Any) -> str:
    """The arguments as Celery's workers and monitors show them to people: what its ``saferepr`` gives."""
    if not values:
        return repr(values)
    plain = values.__class__ in (tuple, list) and len(values) < 10 and all(map(_is_plain, values))
    return repr(values) if plain else str(saferepr(_beginning(values, [LONGEST_REPR], LEVELS), LONGEST_REPR))


def _beginning(value: Any, left: list[int], levels: int) -> Any:
    """A copy of so much of a value as ``saferepr`` shows. It would go through all of it all the same, for a second.

    :param left: how many more values are copied; each is shown with a character at least.
    """
    left[0] -= 1
    if value.__class__ is str:
        return value[: LONGEST_REPR + 1]
    if value.__class__ in (list, tuple) and levels:
        return value.__class__([_beginning(each, left, levels - 1) for each in islice(value, max(0, left[0]) + 1)])
    if value.__class__ is dict and levels:
        some = islice(value.items(), max(0, left[0]) + 1)
        return {name: _beginning(each, left, levels - 1) for name, each in some}
    return value


def _is_plain(value: Any) -> bool:
    if value.__class__ is not str:
        return value.__class__ in PLAIN_TYPES
    return len(value) < LONGEST_PLAIN and value.isprintable() and "'" not in value and "\\" not in value
