"""A port to listen on, opened before gevent has a hub. Runs on the main greenlet.

The connections are plain sockets, not gevent's: on the loop no code waits inside a socket, and each of gevent's sockets
has two watchers for code that does.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from gevent import monkey

from ringback.errors import BadSetting

#: Connections that may wait to be accepted. With Tornado's 128 some of 1000 that come at once try again a second later.
BACKLOG = 4096

_getaddrinfo = monkey.get_original("socket", "getaddrinfo")  # gevent's waits on a hub
_socket: type[socket.socket] = monkey.get_original("socket", "socket")  # each of gevent's has one


class Listener(_socket):  # type: ignore[misc, valid-type]
    """A listening socket whose connections are the standard library's sockets, even under gevent's patch."""

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, and its address."""
        fileno, address = self._accept()
        return _socket(self.family, self.type, self.proto, fileno), address


def cannot_listen(port: int, address: str, error: OSError) -> BadSetting:
    """Make the error that names the flag and the variable to change."""
    return BadSetting(
        f"cannot listen on {address}, port {port}: {error.strerror}. Choose another with --port=… or PORT=…"
    )


def listen(port: int, address: str) -> list[Listener]:
    """Open listening sockets, as Tornado's ``bind_sockets`` does, but not gevent's.

    :param port: TCP port; 0 for a free one.
    :param address: host name or IP address; empty for all.
    :raises BadSetting: it cannot listen there.
    """
    sockets: list[Listener] = []
    try:
        found = _getaddrinfo(address or None, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
        for family, _, _, _, place in sorted(set(found)):
            try:
                sockets.append(_listen(family, (place[0], port, *place[2:])))
            except OSError as error:  # a container without IPv6 knows a localhost of it all the same
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or address != "localhost":
                    raise
            else:
                port = sockets[0].getsockname()[1]
    except OSError as error:
        raise cannot_listen(port, address, error) from error
    return sockets


def _listen(family: int, place: tuple[Any, ...]) -> Listener:
    sock = Listener(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # IPv4 has a socket of its own
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
