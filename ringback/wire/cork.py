"""How the frames of a burst share their system calls: many are written in one send, and read in one recv.

A ``Cork`` belongs to the greenlets of its connection's owner.
"""

from __future__ import annotations

from typing import Any

import amqp.method_framing
from amqp.transport import TCPTransport

#: Bytes that are read at once, if there are so many. Py-amqp asks for each frame's head, payload and end by itself,
#: which is nine calls for a reply; and it copies what is read ahead each time, so more than some replies cost again.
READ_AHEAD = 4096

#: Bytes after which a burst is sent, whether it is whole or not.
BURST = 65_536


class Cork:
    """What a connection writes within ``with cork:`` goes out in one piece, at the end."""

    def __init__(self) -> None:
        self._held: list[bytes] | None = None
        self._size = 0

    def __enter__(self) -> None:
        self._held, self._size = [], 0

    def __exit__(self, *_: object) -> None:
        try:
            self._flush()
        finally:
            self._held = None

    def frame_writer(self, connection: Any, transport: Any) -> Any:
        """As py-amqp's, for its ``Connection(frame_writer=…)``, which calls it for each new connection."""
        self._send = transport.write
        if isinstance(transport, TCPTransport):  # TLS has a buffer of its own
            recv = transport._quick_recv
            transport._quick_recv = lambda size: recv(max(size, READ_AHEAD))
        return amqp.method_framing.frame_writer(connection, self)

    def write(self, data: bytes) -> None:
        """Write, or keep for later."""
        if self._held is None:
            self._send(data)
            return
        self._held.append(bytes(data))  # a copy: py-amqp uses its buffer again
        self._size += len(data)
        if self._size > BURST:
            self._flush()

    def _flush(self) -> None:
        while self._held:  # while this waits for the socket, another greenlet may write a heartbeat
            data, self._held, self._size = b"".join(self._held), [], 0
            self._send(data)
