"""A refusal of a request whose body is still under way. Runs on the loop's greenlet.

Tornado would close the connection on what the client still sends. That resets the connection, which may destroy the
answer. Here it is closed in stages (RFC 9112, 9.6): the answer is written, our side is closed, and what still comes is
read and dropped until the client closes too, or the time for its body is over.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Collection
from contextlib import suppress

from tornado import httputil
from tornado.concurrent import future_add_done_callback
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream
from tornado.log import access_log

from ringback.errors import RingbackError
from ringback.web import audit
from ringback.web.answer_headers import NO_PAGE, SAFE, for_origin, of_error, trace


class LingeringClose(httputil.HTTPMessageDelegate):
    """A request that is answered already: what still comes is read and dropped until the client closes."""

    def __init__(self, connection: HTTP1Connection) -> None:
        self._connection = connection

    def answer(
        self,
        start_line: httputil.RequestStartLine,
        headers: httputil.HTTPHeaders,
        error: RingbackError,
        origins: Collection[str],
    ) -> None:
        """Write the answer, but not with ``finish()``, which closes at once (``HTTP1Connection._finish_request``)."""
        path = start_line.path.partition("?")[0]
        access_log.warning("%d %s %s (%s)", error.status, start_line.method, path, self._connection.context)
        if audit.logger.handlers:
            audit.write("refuse", str(self._connection.context), headers.get("X-Request-ID"), outcome=error.status)
        body = f"{json.dumps(error.problem())}\n".encode()
        fields = {**SAFE, **NO_PAGE, **of_error(error), **trace(headers), **for_origin(headers.get("Origin"), origins)}
        answer = httputil.HTTPHeaders({**fields, "Connection": "close", "Content-Length": str(len(body))})
        answer["Date"] = httputil.format_timestamp(time.time())
        status_line = httputil.ResponseStartLine("HTTP/1.1", error.status, http.client.responses[error.status])
        written = self._connection.write_headers(status_line, answer, b"" if start_line.method == "HEAD" else body)
        stream = self._connection.stream
        future_add_done_callback(written, lambda _: _close_our_side(stream))

    def finish(self) -> None:
        self._connection.close()


def _close_our_side(stream: IOStream) -> None:
    if not stream.closed():
        with suppress(OSError):  # the client has gone
            stream.socket.shutdown(socket.SHUT_WR)
