"""Tickets for browsers, which cannot send a token with an ``EventSource`` or a ``WebSocket``. On the loop's greenlet.

A page sends its token in a request for a ticket, and the ticket in the query of the next one. A ticket is valid for
half a minute, and once in each process. Nothing is stored for one that is not used: it is signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from ringback.errors import Unauthorized
from ringback.web.access import Caller

#: Seconds for which a ticket is valid.
LIFETIME = 30.0

#: Made before any fork, so that each web process of a machine takes the others' tickets.
_RANDOM_KEY = secrets.token_bytes(32)

#: The name of the ``Tickets`` among an application's settings.
SETTING = "ringback_tickets"


class Tickets:
    """Issues tickets, and takes each one once.

    :param key: signs them; the same in all processes that take them.
    :param clock: seconds since the epoch.
    """

    def __init__(self, key: bytes = _RANDOM_KEY, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = key, clock
        self._used: dict[str, float] = {}  # by signature: when its ticket ends; the oldest first

    def __len__(self) -> int:
        return len(self._used)

    def issue(self, caller: Caller) -> str:
        """Make a ticket for a caller."""
        content = {
            "name": caller.name,
            "patterns": caller.patterns,
            "scopes": sorted(caller.scopes),
            "ends": self._clock() + LIFETIME,
            "nonce": secrets.token_hex(8),
        }
        text = _encode(json.dumps(content).encode())
        return f"{text}.{self._sign(text)}"

    def take(self, ticket: str) -> Caller:
        """Find the caller that a ticket was made for.

        :raises Unauthorized: it is none, or its time is over, or it was taken before.
        """
        text, _, signature = ticket.partition(".")
        content = _decode(text) if hmac.compare_digest(self._sign(text).encode(), signature.encode()) else None
        if content is None or content["ends"] <= self._clock() or signature in self._used:
            raise Unauthorized("the ticket is used or too old: POST /v1/tickets makes another")
        self._used[signature] = content["ends"]
        self._forget_old()
        return Caller(content["name"], tuple(content["patterns"]), frozenset(content["scopes"]))

    def _sign(self, text: str) -> str:
        return _encode(hmac.digest(self._key, text.encode(), hashlib.sha256))

    def _forget_old(self) -> None:
        now = self._clock()
        while (oldest := next(iter(self._used), None)) is not None and self._used[oldest] <= now:
            del self._used[oldest]


def tickets_in(settings: dict[str, Any]) -> Tickets:
    """The ``Tickets`` of an application, by its settings."""
    found: Tickets = settings.setdefault(SETTING, Tickets())
    return found


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return None
