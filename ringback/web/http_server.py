"""What every request passes before its handler sees it: a body over the limit is answered 413, unread.

Tornado's own ``max_body_size`` answers a bare 400 and closes the connection on what the client still sends. That resets
the connection, which may destroy the answer. Here it is closed in stages (RFC 9112, 9.6): the answer is written, our
side is closed, and what still comes is read and dropped until the client closes too, or the time for its body is over.

The time for a request's headers and for its body is kept here, too. Tornado's ``body_timeout`` makes a task of each
body, which costs a quarter of a POST, and its ``idle_connection_timeout`` a timer and a future for each request.
All of it runs on the loop's greenlet.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import math
import socket
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import cast

from tornado import httputil
from tornado.concurrent import future_add_done_callback
from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection, parse_int
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.log import access_log

from ringback.calls import SharedTimeout
from ringback.errors import BodyTooLarge
from ringback.settings import Settings

logger = logging.getLogger(__name__)

StartLine = httputil.RequestStartLine | httputil.ResponseStartLine

#: Chunks of a body after which the loop serves other connections. Tornado 6.5 reads on while there is more to read, so
#: that a client of one-byte chunks would have the loop for itself, and no timer could end that.
YIELD_EVERY = 64


class BoundedHTTPServer(HTTPServer):
    """Tornado's server, which limits the size of each body and the time for headers and bodies, as the settings say."""

    def initialize(  # type: ignore[override]
        self, application: httputil.HTTPServerConnectionDelegate, settings: Settings
    ) -> None:
        """Take the arguments of the constructor, as Tornado's ``initialize``."""
        super().initialize(application)
        self.conn_params.header_timeout = None
        self.body_limit = settings.body_limit
        self.headers = SharedTimeout(settings.idle_timeout, IOStream.close)
        self.bodies = SharedTimeout(settings.body_timeout, BodyLimit.too_slow)

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        """Expect a request. Tornado calls this when a connection is made, and after each answer."""
        connection = cast(HTTP1Connection, request_conn)
        connection.set_max_body_size(math.inf)  # type: ignore[arg-type]  # its 400 would come first
        self.headers.start(connection.stream)
        return BodyLimit(super().start_request(server_conn, connection), connection, self)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection. Tornado calls this when it has ended."""
        super().on_close(server_conn)
        self.headers.stop(cast(HTTP1ServerConnection, server_conn).stream)


class BodyLimit(httputil.HTTPMessageDelegate):
    """Counts the body of one request on its way to the application."""

    def __init__(
        self, request: httputil.HTTPMessageDelegate, connection: HTTP1Connection, server: BoundedHTTPServer
    ) -> None:
        self._request, self._connection, self._server = request, connection, server
        self._left: float = server.body_limit
        self._chunks = 0

    def headers_received(self, start_line: StartLine, headers: httputil.HTTPHeaders) -> Awaitable[None] | None:
        self._start_line = cast(httputil.RequestStartLine, start_line)
        self._server.headers.stop(self._connection.stream)
        if "Content-Length" in headers or "Transfer-Encoding" in headers:
            self._server.bodies.start(self)
        if _announced(headers) > self._left:
            headers.pop("Expect", None)  # Tornado would ask for the body
            self._refuse()
        return self._request.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._left -= len(chunk)
        if self._left < 0:
            self._report_client_gone()
            self._refuse()
        self._chunks += 1
        done = self._request.data_received(chunk)
        return done if self._chunks % YIELD_EVERY else _yield_to_the_loop(done)

    def finish(self) -> None:
        self._server.bodies.stop(self)
        self._request.finish()
        self._request = _DONE  # frees what led to the handler while the handler holds the request

    def on_connection_close(self) -> None:
        self._server.bodies.stop(self)
        self._report_client_gone()

    def _report_client_gone(self) -> None:
        """Report that the client has gone, which Tornado does only after the end of the body."""
        callback = self._connection._close_callback
        self._connection.set_close_callback(None)  # it would keep a streaming handler
        if callback is not None:
            callback()
        self._request.on_connection_close()

    def too_slow(self) -> None:
        """Close the connection, since the body has not arrived in time."""
        stream = cast(IOStream | None, self._connection.stream)
        if stream is None:  # a WebSocket has it now
            return
        method, path, _ = self._start_line
        logger.info("closed, since its body takes too long: %s %s (%s)", method, path, self._connection.context)
        stream.close()  # the connection's own close() would forget the close callback

    def _refuse(self) -> None:
        refused = LingeringClose(self._connection)
        self._left, self._request = math.inf, refused
        if self._connection._response_start_line is None:
            refused.answer(self._start_line, self._server.body_limit)
        else:  # a streaming handler's own answer is under way
            self._connection.close()


class LingeringClose(httputil.HTTPMessageDelegate):
    """A request that is answered already: what still comes is read and dropped until the client closes."""

    def __init__(self, connection: HTTP1Connection) -> None:
        self._connection = connection

    def answer(self, start_line: httputil.RequestStartLine, limit: int) -> None:
        """Write the answer, but not with ``finish()``, which closes at once (``HTTP1Connection._finish_request``)."""
        access_log.warning("413 %s %s (%s)", start_line.method, start_line.path, self._connection.context)
        error = BodyTooLarge(f"a body may have {limit} bytes at most; RINGBACK_BODY_LIMIT sets this")
        body = f"{json.dumps(error.problem())}\n".encode()
        headers = httputil.HTTPHeaders({"Content-Type": "application/problem+json", "Connection": "close"})
        headers["Content-Length"], headers["Date"] = str(len(body)), httputil.format_timestamp(time.time())
        status_line = httputil.ResponseStartLine("HTTP/1.1", error.status, http.client.responses[error.status])
        written = self._connection.write_headers(status_line, headers, b"" if start_line.method == "HEAD" else body)
        stream = self._connection.stream
        future_add_done_callback(written, lambda _: _close_our_side(stream))

    def finish(self) -> None:
        self._connection.close()


#: Takes the place of a request that the application has in full.
_DONE = httputil.HTTPMessageDelegate()


async def _yield_to_the_loop(done: Awaitable[None] | None) -> None:
    if done is not None:
        await done
    await asyncio.sleep(0)


def _close_our_side(stream: IOStream) -> None:
    if not stream.closed():
        with suppress(OSError):  # the client has gone
            stream.socket.shutdown(socket.SHUT_WR)


def _announced(headers: httputil.HTTPHeaders) -> int:
    """The length that the headers announce, or 0. Malformed headers are left to Tornado, which answers 400."""
    if "Transfer-Encoding" in headers:
        return 0
    try:
        return parse_int(headers.get("Content-Length", "0").partition(",")[0])  # Tornado takes "9, 9" for 9
    except ValueError:
        return 0
