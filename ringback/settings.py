"""What can be set, and why each number is what it is. Read once from the environment; any greenlet may read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ringback.errors import BadSetting

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Settings:
    """Times are in seconds."""

    #: How long a request may wait for its result. Heroku's router ends a request at 30 s without telling the app.
    deadline: float = 25.0
    #: How long a message may wait for the broker's confirm. Under the 5 s of the impatient webhook senders.
    publish_timeout: float = 3.0
    #: Messages that may wait for the broker: 3 s of more traffic than one process can take.
    outbox_limit: int = 5000
    #: How long held requests may take after SIGTERM. Heroku kills 30 s after it.
    grace: float = 25.0
    #: How long the reply queue outlives its process: longer than any outage worth surviving.
    reply_queue_expires: float = 600.0
    #: A silent broker is given up after twice this. RabbitMQ advises against less than 5 (false alarms).
    heartbeat: float = 5.0
    #: Time for one attempt to connect. Short, so that the attempt after the broker's return comes soon.
    connect_timeout: float = 2.0


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings, as ``RINGBACK_*`` variables change them.

    :raises BadSetting: a value is not a number above zero; the message names the variable.
    """
    return Settings(
        deadline=_number(environ, "RINGBACK_DEADLINE", float, Settings.deadline),
        publish_timeout=_number(environ, "RINGBACK_PUBLISH_TIMEOUT", float, Settings.publish_timeout),
        outbox_limit=_number(environ, "RINGBACK_OUTBOX_LIMIT", int, Settings.outbox_limit),
        grace=_number(environ, "RINGBACK_GRACE", float, Settings.grace),
    )


def port(text: str) -> int:
    """The TCP port that this text gives; 0 stands for a free one.

    :raises BadSetting: it is not a port number.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise BadSetting(f"port {text!r}: --port, or else PORT, takes a number from 0 to 65535")
    return int(text)


def _number(environ: Mapping[str, str], name: str, kind: Callable[[str], T], default: T) -> T:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError as error:
        raise BadSetting(f"{name}={text!r}: expected {'a whole' if kind is int else 'a'} number") from error
    if not 0 < value < float("inf"):
        raise BadSetting(f"{name}={text!r}: expected a number above 0")
    return value
