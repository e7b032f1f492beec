"""What py-amqp reads from the broker, in few pieces."""

import itertools
import time

from amqp.method_framing import frame_writer
from amqp.transport import TCPTransport

READ_AHEAD = 4096  # bytes: about four task messages
READS = 4  # after which others have a turn


def reading_ahead(connection, transport):
    """Py-amqp's frame writer; a connection's transport is to be had nowhere else before it is used.

    A green worker reads on for as long as there is something: a burst's first task would run when its last is read, and
    the web process have nothing to do meanwhile.
    """
    if isinstance(transport, TCPTransport):
        recv, reads = transport._quick_recv, itertools.count(1)

        def recv_more(size):
            if not next(reads) % READS:
                time.sleep(0)
            return recv(max(size, READ_AHEAD))

        transport._quick_recv = recv_more
    return frame_writer(connection, transport)
