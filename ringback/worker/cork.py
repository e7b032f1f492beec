"""How the frames of a burst share their system calls. Each of these is for py-amqp's ``Connection(frame_writer=…)``.

A connection's transport is to be had nowhere else before it is used.
"""

from amqp.method_framing import frame_writer
from amqp.transport import TCPTransport

READ_AHEAD = 4096  # bytes


def reading_ahead(connection, transport):
    """A message costs one recv, and not nine: py-amqp asks for each part of a frame by itself."""
    if isinstance(transport, TCPTransport):
        recv = transport._quick_recv
        transport._quick_recv = lambda size: recv(max(size, READ_AHEAD))
    return frame_writer(connection, transport)


def corked(connection, transport):
    """The same, and what is written goes out before the next recv: for who writes and reads by turns."""
    if not isinstance(transport, TCPTransport):
        return frame_writer(connection, transport)
    cork = Cork(transport)
    transport._quick_recv = cork.read
    return frame_writer(connection, cork)


class Cork:
    """Keeps what is written until something is read."""

    def __init__(self, transport):
        self.recv, self.send, self.held = transport._quick_recv, transport.write, bytearray()

    def write(self, data):
        self.held += data

    def read(self, size):
        if self.held:
            data = bytes(self.held)
            self.held.clear()
            try:
                self.send(data)
            except TimeoutError as error:  # half a frame may have gone, so nothing can follow
                raise ConnectionResetError("the broker reads nothing") from error
        return self.recv(max(size, READ_AHEAD))
