"""What every request passes before its handler sees it: its name, its caller's token, the size of its body, the time.

A body over the limit is answered 413, and one of a request without a token 401, unread: see ``lingering_close``.

The time for a request's headers and for its body is kept here, too. Tornado's ``body_timeout`` makes a task of each
body, which costs a quarter of a POST, and its ``idle_connection_timeout`` a timer and a future for each request.
All of it runs on the loop's greenlet.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections.abc import Awaitable, Iterable
from typing import Any, cast

from tornado import httputil
from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection, parse_int
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from ringback.calls import SharedTimeout
from ringback.errors import BodyTooLarge, RingbackError, TooManyBodies
from ringback.settings import Settings
from ringback.web.addresses import HostCheck, Proxies
from ringback.web.connections import RESERVED, ClientStream, Connections, raise_descriptor_limit
from ringback.web.error_answers import count_refusal
from ringback.web.lingering_close import LingeringClose
from ringback.web.unread import BRIEF, Unread, waited

logger = logging.getLogger(__name__)

StartLine = httputil.RequestStartLine | httputil.ResponseStartLine

#: Chunks of a body after which the loop serves other connections. Tornado 6.5 reads on while there is more to read, so
#: that a client of one-byte chunks would have the loop for itself, and no timer could end that.
YIELD_EVERY = 64


class BoundedHTTPServer(HTTPServer):
    """Tornado's server, which limits connections, the size of bodies, and the time for headers, bodies and answers.

    :param guarded: whether callers need tokens.
    """

    def initialize(  # type: ignore[override]
        self, application: httputil.HTTPServerConnectionDelegate, settings: Settings, guarded: bool
    ) -> None:
        """Take the arguments of the constructor, as Tornado's ``initialize``."""
        super().initialize(application)
        self.conn_params.header_timeout = None
        self.settings = settings
        self.first_headers = SharedTimeout(settings.header_timeout, IOStream.close)
        self.headers = SharedTimeout(settings.idle_timeout, IOStream.close)
        self.bodies = SharedTimeout(settings.body_timeout, BodyLimit.too_slow)
        self.bytes_under_way = 0
        self.proxies = Proxies(settings.proxies, guarded or settings.open_to_all)
        self.hosts = HostCheck(settings.hosts) if settings.hosts or not (guarded or settings.open_to_all) else None
        limit = min(settings.connection_limit, max(RESERVED, raise_descriptor_limit() - RESERVED))
        self.unread = Unread(settings.deadline)
        self.connections = Connections(limit, settings.write_timeout, self.unread, self._connect)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept the connections of these sockets, as Tornado's ``add_sockets``."""
        self.connections.listen(list(sockets))

    def stop(self) -> None:
        """Accept no more connections, as Tornado's ``stop``."""
        self.connections.close()

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        """Expect a request. Tornado calls this when a connection is made, and after each answer."""
        connection = cast(HTTP1Connection, request_conn)
        connection.set_max_body_size(math.inf)  # type: ignore[arg-type]  # its 400 would come first
        stream = cast(ClientStream, connection.stream)
        stream.ready_at = time.monotonic()
        (self.first_headers if stream.is_new else self.headers).start(stream)
        return BodyLimit(super().start_request(server_conn, connection), connection, self)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection. Tornado calls this when it has ended."""
        super().on_close(server_conn)
        self.has_headers(cast(ClientStream, cast(HTTP1ServerConnection, server_conn).stream))

    def has_headers(self, stream: ClientStream) -> None:
        """Stop to wait for the headers of a request."""
        (self.first_headers if stream.is_new else self.headers).stop(stream)
        stream.is_new = False

    def _connect(self, connection: socket.socket, address: Any) -> None:
        self.handle_stream(ClientStream(connection, self.connections), address)


class BodyLimit(httputil.HTTPMessageDelegate):
    """Looks at the headers of one request, and counts its body on its way to the application."""

    __slots__ = "_chunks", "_connection", "_headers", "_left", "_peer", "_request", "_server", "_start_line", "_taken"

    def __init__(
        self, request: httputil.HTTPMessageDelegate, connection: HTTP1Connection, server: BoundedHTTPServer
    ) -> None:
        self._request, self._connection, self._server = request, connection, server
        self._peer = connection.context.remote_ip, connection.context.protocol  # type: ignore[attr-defined]
        self._left: float = server.settings.body_limit
        self._chunks = self._taken = 0

    def headers_received(self, start_line: StartLine, headers: httputil.HTTPHeaders) -> Awaitable[None] | None:
        self._start_line, self._headers = cast(httputil.RequestStartLine, start_line), headers
        stream = cast(ClientStream, self._connection.stream)
        stream.unread = 0.0
        # It may have been sent before the answer to the one before it, and is asked for only if it can have been long.
        longest = math.inf if stream.is_new else time.monotonic() - stream.ready_at
        if longest > BRIEF and not stream.closed():
            stream.unread = min(waited(stream.socket), longest)
        self._server.has_headers(stream)
        if "Content-Length" in headers or "Transfer-Encoding" in headers:
            self._server.bodies.start(self)
        try:
            self._name_client()
            self._server.unread.check(stream.unread, self._start_line.path)
            if self._server.hosts is not None:
                self._server.hosts.check(headers.get("Host", "localhost"))
            if _announced(headers) > self._left:
                raise self._too_large()
            return self._request.headers_received(start_line, headers)
        except RingbackError as error:
            headers.pop("Expect", None)  # Tornado would ask for the body
            self._refuse(error)
            return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._left -= len(chunk)
        if self._left < 0:
            self._refuse_midway(self._too_large())
        elif self._left != math.inf:
            self._take(len(chunk))
        self._chunks += 1
        done = self._request.data_received(chunk)
        return done if self._chunks % YIELD_EVERY else _yield_to_the_loop(done)

    def finish(self) -> None:
        self._end_of_body()
        self._request.finish()
        self._request = _DONE  # frees what led to the handler while the handler holds the request

    def on_connection_close(self) -> None:
        self._end_of_body()
        self._report_client_gone()

    def _name_client(self) -> None:
        """Have the request come from the client's address, if a known proxy passes it on."""
        context: Any = self._connection.context
        context.remote_ip, protocol = self._server.proxies.client(self._peer[0], self._headers)
        context.protocol = protocol or self._peer[1]

    def _take(self, count: int) -> None:
        """Count the bytes of a body that is under way."""
        self._taken += count
        self._server.bytes_under_way += count
        if self._server.bytes_under_way > self._server.settings.bodies_limit:
            self._refuse_midway(TooManyBodies("too many bodies are under way; RINGBACK_BODIES_LIMIT sets this"))

    def _end_of_body(self) -> None:
        self._server.bodies.stop(self)
        self._give_back()

    def _give_back(self) -> None:
        """Stop to count the bytes of this body among those that are under way."""
        self._server.bytes_under_way -= self._taken
        self._taken = 0

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
        method, path = self._start_line.method, self._start_line.path.partition("?")[0]
        logger.info("closed, since its body takes too long: %s %s (%s)", method, path, self._connection.context)
        stream.close()  # the connection's own close() would forget the close callback

    def _too_large(self) -> BodyTooLarge:
        limit = self._server.settings.body_limit
        return BodyTooLarge(f"a body may have {limit} bytes at most; RINGBACK_BODY_LIMIT sets this")

    def _refuse_midway(self, error: RingbackError) -> None:
        """Refuse a request whose handler has been told of its headers."""
        self._report_client_gone()
        self._refuse(error)

    def _refuse(self, error: RingbackError) -> None:
        count_refusal(error, known=False)
        self._give_back()
        refused = LingeringClose(self._connection)
        self._left, self._request = math.inf, refused
        if self._connection._response_start_line is None:
            refused.answer(self._start_line, self._headers, error, self._server.settings.cors)
        else:  # a streaming handler's own answer is under way
            self._connection.close()


#: Takes the place of a request that the application has in full.
_DONE = httputil.HTTPMessageDelegate()


async def _yield_to_the_loop(done: Awaitable[None] | None) -> None:
    if done is not None:
        await done
    await asyncio.sleep(0)


def _announced(headers: httputil.HTTPHeaders) -> int:
    """The length that the headers announce, or 0. Malformed headers are left to Tornado, which answers 400."""
    if "Transfer-Encoding" in headers:
        return 0
    try:
        return parse_int(headers.get("Content-Length", "0").partition(",")[0])  # Tornado takes "9, 9" for 9
    except ValueError:
        return 0
