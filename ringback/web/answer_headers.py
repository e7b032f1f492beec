"""The headers that answers have whatever they answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from tornado.httputil import HTTPHeaders

from ringback.errors import RingbackError, ShuttingDown, Unauthorized

#: Of every answer: no browser guesses another type than the one that is given, and no cache keeps a result.
SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

#: Of every answer that is no page: a browser that shows it loads nothing for it, and shows it in no frame.
NO_PAGE = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}

#: The media type of every error's body (RFC 9457).
PROBLEM = "application/problem+json"


class TraceHeader(NamedTuple):
    """A header that travels with a call and comes back with its answer.

    :param in_task: its name in the task's request.
    """

    in_task: str
    syntax: re.Pattern[str]


#: By the names that Tornado gives to headers (W3C Trace Context 3.2 and 3.3; for the id printable ASCII).
TRACE = {
    "Traceparent": TraceHeader(
        "traceparent",
        re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"),
    ),
    "Tracestate": TraceHeader("tracestate", re.compile(r"[\x20-\x7e]{1,512}")),
    "X-Request-Id": TraceHeader("x_request_id", re.compile(r"[\x21-\x7e]{1,128}")),
}

#: For a page of an allowed origin: the headers that it may send, and those that it may read (Fetch, "CORS protocol").
MAY_SEND = (
    "Authorization, Content-Type, Idempotency-Key, Prefer, "
    "Cancel-After, Last-Event-ID, traceparent, tracestate, X-Request-ID"
)
MAY_READ = "Location, Retry-After, Preference-Applied, X-Request-ID"


def trace(headers: HTTPHeaders) -> dict[str, str]:
    """The trace headers of a request that are well formed."""
    return {name: headers[name] for name in headers if name in TRACE and TRACE[name].syntax.fullmatch(headers[name])}


def for_origin(origin: str | None, allowed: Collection[str]) -> dict[str, str]:
    """What an answer needs so that a page of this origin can read it; nothing if the origin is not allowed."""
    if origin is None or origin not in allowed:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Headers": MAY_SEND,
        "Access-Control-Expose-Headers": MAY_READ,
        "Vary": "Origin",
    }


def of_error(error: RingbackError) -> dict[str, str]:
    """What the answer of an error has, beside its body."""
    headers = {"Content-Type": PROBLEM}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ShuttingDown):
        headers["Connection"] = "close"
    return headers
