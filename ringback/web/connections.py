"""The connections of clients: how many there may be, and how long a client may leave an answer unread.

A process that has no file descriptor left can neither answer nor reconnect to its broker, and a listening socket that
it leaves unaccepted wakes the loop without end. So there are fewer connections than descriptors, and where that does
not help, accepting pauses. Runs on the loop's greenlet.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from tornado.iostream import IOStream

from ringback.web.balance import Balance
from ringback.web.unread import Unread

logger = logging.getLogger(__name__)

#: Descriptors that are kept free for the broker, Redis, files and the loop itself.
RESERVED = 100

#: Connections that are accepted in one round of the loop, at most.
BATCH = 64

#: Seconds until accepting is tried again where a descriptor or memory was lacking.
PAUSE = 1.0

#: What ``accept`` raises then (accept(2)).
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Seconds between two lines of log that say why connections must wait.
SILENCE = 60.0

#: The looks within the write time-out: a client that has read nothing is found at most a sixth later.
LOOKS = 6


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS has a lower limit of its own
            return soft
    return hard if hard != resource.RLIM_INFINITY else 2**20


class ClientStream(IOStream):
    """A client's connection. ``Connections`` knows it until it is closed."""

    # IOStream has as many attributes as instances can share the names of; more in its dict would take 1.4 KiB each.
    __slots__ = "_connections", "has_progress", "is_new", "ready_at", "unread"

    def __init__(self, sock: socket.socket, connections: Connections, **options: Any) -> None:
        self._connections = connections
        self.is_new = True  #: whether no request has come yet
        self.ready_at = 0.0  #: when it was ready for another request, on time.monotonic
        self.unread = 0.0  #: seconds for which the last request has waited to be read
        self.has_progress = True  #: whether it took bytes since the last look
        connections.open.add(self)
        super().__init__(sock, **options)

    def write_to_fd(self, data: memoryview) -> int:
        """Write what the client's window takes now, as Tornado's ``write_to_fd``."""
        try:
            written = super().write_to_fd(data)
        except BlockingIOError:
            self._connections.blocked.setdefault(self, time.monotonic())
            raise
        self.has_progress = True
        return written

    def close_fd(self) -> None:
        """Close the socket, as Tornado's ``close_fd``."""
        super().close_fd()
        self._connections.closed(self)


class Connections:
    """Accepts connections, up to a limit.

    :param limit: how many may be open at once.
    :param write_timeout: seconds without progress after which a client that does not read is given up.
    :param unread: refuses the connections that have waited for too long.
    :param on_connection: gets each accepted socket and its address.
    """

    def __init__(
        self, limit: int, write_timeout: float, unread: Unread, on_connection: Callable[[socket.socket, Any], object]
    ) -> None:
        self._limit, self._write_timeout, self._on_connection = limit, write_timeout, on_connection
        self._sockets: list[socket.socket] = []
        self._unread, self._accepts, self._warned_at = unread, False, -SILENCE
        self.balance = Balance()  #: with the processes that accept connections from the same sockets
        self.open: set[ClientStream] = set()
        self.blocked: dict[ClientStream, float] = {}  #: those whose client reads slowly: when they last took bytes

    def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept the connections of these sockets."""
        self._sockets += sockets
        self._resume()
        self._look()

    def close(self) -> None:
        """Accept no more, and close the listening sockets."""
        self._pause()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def closed(self, stream: ClientStream) -> None:
        """Forget a connection that is closed."""
        self.open.discard(stream)
        self.balance.set(len(self.open))
        self.blocked.pop(stream, None)
        if not self._accepts and len(self.open) < self._limit:
            self._resume()

    def _resume(self) -> None:
        if not self._accepts and self._sockets:
            self._accepts = True
            for sock in self._sockets:
                asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _pause(self) -> None:
        if self._accepts:
            self._accepts = False
            for sock in self._sockets:
                asyncio.get_running_loop().remove_reader(sock)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            if len(self.open) >= self._limit:
                self._warn("%d connections are open, so more must wait; RINGBACK_CONNECTION_LIMIT", len(self.open))
                self._pause()
                return
            try:
                connection, address = sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._warn("connections must wait: %s", error.strerror)
                self._pause()
                asyncio.get_running_loop().call_later(PAUSE, self._resume)
                return
            if self._unread.refuse(connection, address[0]):
                continue
            self._on_connection(connection, address)
            self.balance.set(len(self.open))
            if not self.balance.may_accept_more():
                return  # the loop asks again in its next round

    def _warn(self, text: str, *arguments: object) -> None:
        """Log why accepting pauses, but not each time: at its limit a process pauses and goes on all the time."""
        if time.monotonic() - self._warned_at >= SILENCE:
            self._warned_at = time.monotonic()
            logger.warning(text, *arguments)

    def _look(self) -> None:
        """End the connections of clients that have read nothing for too long."""
        now = time.monotonic()
        for stream, since in list(self.blocked.items()):
            if not stream.writing():
                del self.blocked[stream]
            elif stream.has_progress:
                stream.has_progress, self.blocked[stream] = False, now
            elif now - since >= self._write_timeout:
                logger.info("closed a connection whose client does not read its answer")
                stream.close()
        asyncio.get_running_loop().call_later(self._write_timeout / LOOKS, self._look)
