"""Fewer system calls for each message: a burst of frames is written in one send, and read in one recv.

A ``Cork`` belongs to the greenlets or threads that own its connection. ``frame_writer`` and the functions are for
py-amqp's ``Connection(frame_writer=…)``, the one place that hands out a connection's transport before it is used.
"""

from __future__ import annotations

import socket
import time
from typing import Any

import amqp.method_framing
from amqp.transport import TCPTransport

#: Bytes to read at once. Py-amqp asks for each frame's head, payload and end by itself: nine calls for a reply. It also
#: copies what was read ahead each time, so reading more than a few replies costs more than it saves.
READ_AHEAD = 4096

#: Bytes after which a burst is sent although it is not complete.
BURST = 65_536


class Cork:
    """Holds back what a connection writes within ``with cork:``, and sends it in one piece at the end.

    :param until_read: hold back everything until the connection is read, for an owner that writes and reads in turns.
        What others write while the owner waits for bytes is sent at once. Does nothing over TLS, which offers no hook
        before a read.
    """

    def __init__(self, until_read: bool = False) -> None:
        self._until_read = until_read
        self._corked = self._gathering = False
        self._sender: object = None  # what sends at the moment
        self._held = bytearray()
        self.socket: socket.socket | None = None  #: of the open connection

    def __enter__(self) -> None:
        self._corked = True

    def __exit__(self, *_: object) -> None:
        self._corked = False
        try:
            self._flush()
        except BaseException:  # what is left would go out on the next connection
            self._held.clear()
            raise

    def frame_writer(self, connection: Any, transport: Any) -> Any:
        """Make py-amqp's frame writer for a new connection, with this cork between it and the transport."""
        self._send, self.socket = transport.write, transport.sock
        self._held.clear()
        self._sender = None  # who still sends on the connection before this one is in nobody's way
        if isinstance(transport, TCPTransport):  # TLS has a read buffer of its own
            self._recv = transport._quick_recv
            transport._quick_recv = self._read
            self._corked = self._until_read
        return amqp.method_framing.frame_writer(connection, self)

    def write(self, data: bytes) -> None:
        """Send, or hold back for later."""
        self._held += data  # a copy: py-amqp uses its buffer again
        if len(self._held) > BURST:
            self._flush()
        elif not self._corked and not self._gathering:
            if self._until_read:
                self._gathering = True
                try:
                    time.sleep(0)  # for what others write now, to go in the same send
                finally:
                    self._gathering = False
            self._flush()

    def _read(self, size: int) -> Any:
        if not self._until_read:
            return self._recv(max(size, READ_AHEAD))
        self._flush()
        self._corked = False  # a task that begins while this waits is what lets the broker deliver the next one
        try:
            return self._recv(max(size, READ_AHEAD))
        finally:
            self._corked = True

    def _flush(self) -> None:
        if self._sender is not None:  # it takes what another greenlet has written, such as a heartbeat, while it waits
            return
        sender = self._sender = object()
        try:
            while self._held and self._sender is sender:
                data = bytes(self._held)
                self._held.clear()
                self._send(data)
        except TimeoutError as error:  # half a frame may have gone, so nothing can follow it
            raise ConnectionResetError("the broker does not read") from error
        finally:
            if self._sender is sender:
                self._sender = None


def read_ahead(connection: Any, transport: Any) -> Any:
    """Make a frame writer that only reads ahead and holds nothing back, for all connections of an app."""
    return Cork().frame_writer(connection, transport)


def cork_until_read(connection: Any, transport: Any) -> Any:
    """Make a frame writer that holds back what is written until the connection is read, with a cork of its own."""
    return Cork(until_read=True).frame_writer(connection, transport)
