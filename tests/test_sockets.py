"""Several processes share the listening sockets."""

from __future__ import annotations

import socket

import pytest

from ringback.web.sockets import listen
from ringback.web.supervisor import FairSocket


def test_a_socket_leaves_the_next_connection_to_the_other_processes() -> None:
    with FairSocket() as fair:
        fair.bind(("127.0.0.1", 0))
        fair.listen()
        fair.setblocking(False)
        clients = [socket.create_connection(fair.getsockname()) for _ in range(2)]
        for client in clients:
            connection, address = fair.accept()
            assert address == client.getsockname()
            connection.close()
            client.close()
            with pytest.raises(BlockingIOError):
                fair.accept()
        with pytest.raises(BlockingIOError):
            fair.accept()


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", ""])
def test_all_addresses_of_a_host_have_one_port(address: str) -> None:
    sockets = listen(0, address)

    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        host, port = sock.getsockname()[:2]
        socket.create_connection((host, port)).close()
        sock.close()
