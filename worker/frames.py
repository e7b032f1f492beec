"""What py-amqp reads from the broker, in few pieces."""

from amqp.method_framing import frame_writer
from amqp.transport import TCPTransport


def reading_ahead(connection, transport):
    """Py-amqp's frame writer; a connection's transport is to be had nowhere else before it is used."""
    if isinstance(transport, TCPTransport):
        recv = transport._quick_recv
        transport._quick_recv = lambda size: recv(max(size, 4096))
    return frame_writer(connection, transport)
