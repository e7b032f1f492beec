"""Requests that this process has had no time to read. On the loop's greenlet.

A process that is sent more than it can read leaves connections unaccepted and requests in their sockets, where nothing
else sees them. Read in their turn, all of them would be too late for their clients. So the time that a request has
waited there counts as part of its deadline, and one that has waited for half of the deadline is refused. A connection
that has not been accepted by then is refused without being made: that takes a tenth of the time.
"""

from __future__ import annotations

import json
import logging
import random
import socket
import sys
import time
from contextlib import suppress

from ringback.errors import Overloaded
from ringback.web import audit
from ringback.web.answer_headers import NO_PAGE, SAFE, of_error
from ringback.web.error_answers import count_refusal

logger = logging.getLogger(__name__)

#: The part of the deadline after which a request is refused that nobody has read, and seconds that it is at least.
PART, LEAST = 0.5, 1.0

#: Seconds that count as none: to ask the system takes 1 % of a request's CPU time.
BRIEF = 0.1

#: Where Linux has the milliseconds since the last bytes came, in the connection's state (``struct tcp_info`` of
#: linux/tcp.h: ``tcpi_last_data_recv``). Before the first bytes it has those since the connection was made.
TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
OFFSET, SIZE = 52, 4

#: What is answered at any time: the probes, which would have the process restarted, and the metrics that tell why.
SPARED = ("/livez", "/readyz", "/metrics")
_SPARED_LINES = tuple(f"GET {path} ".encode() for path in SPARED)

#: Bytes of a request that are read before it is refused. What comes after them resets the connection.
MOST = 2**20

#: Seconds between two lines of log.
SILENCE = 60.0


def waited(sock: socket.socket) -> float:
    """Seconds for which what has come on a connection has waited to be read; 0 where the system does not tell."""
    if TCP_INFO is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return 0.0
    try:
        state = sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, OFFSET + SIZE)
    except OSError:  # it is closed
        return 0.0
    return int.from_bytes(state[OFFSET:], sys.byteorder) / 1000


class Unread:
    """Refuses what has waited for too long.

    :param deadline: seconds for which a client waits.
    """

    def __init__(self, deadline: float) -> None:
        self._limit, self._warned_at = max(LEAST, PART * deadline), -SILENCE

    def check(self, seconds: float, path: str) -> None:
        """Check a request that is being read.

        :param seconds: for which it has waited to be read.
        :raises Overloaded: for too long.
        """
        if seconds >= self._limit and path not in SPARED:
            raise self._error()

    def refuse(self, connection: socket.socket, address: str) -> bool:
        """Refuse the request on a connection that was accepted this moment, and close it; returns whether it was old.

        One that has not come yet is not.
        """
        if waited(connection) < self._limit or not _drop_request(connection):
            return False
        error = self._error()
        with connection, suppress(OSError):  # the client has gone
            connection.send(_answer(error), socket.MSG_DONTWAIT)
        count_refusal(error, known=False)
        if audit.logger.handlers:
            audit.write("refuse", address, None, outcome=error.status)
        if time.monotonic() - self._warned_at > SILENCE:
            self._warned_at = time.monotonic()
            logger.warning("overloaded: requests wait unread for over %g s; more processes help", self._limit)
        return True

    def _error(self) -> Overloaded:
        error = Overloaded(f"this process has had no time to read the request for {self._limit:g} s")
        error.retry_after = random.randint(1, 5)  # so that those who are refused together do not come back together
        return error


def _answer(error: Overloaded) -> bytes:
    body = json.dumps(error.problem()) + "\n"
    headers = {**SAFE, **NO_PAGE, **of_error(error), "Connection": "close", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{lines}\r\n{body}".encode()


def _drop_request(connection: socket.socket) -> bool:
    """Read what has come; returns false, and leaves it there, if that is nothing or must be answered."""
    try:
        begin = connection.recv(max(map(len, _SPARED_LINES)), socket.MSG_PEEK | socket.MSG_DONTWAIT)
        if not begin or begin.startswith(_SPARED_LINES):
            return False
        for _ in range(MOST // 2**16):
            if len(connection.recv(2**16, socket.MSG_DONTWAIT)) < 2**16:
                break
    except BlockingIOError:
        return False
    except OSError:
        return True  # the client has gone
    return True
