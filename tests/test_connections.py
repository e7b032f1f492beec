"""Accepting pauses while a descriptor is lacking, and goes on by itself."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket

import pytest

from ringback.web import connections
from ringback.web.connections import Connections
from ringback.web.unread import Unread


class Exhausted(socket.socket):
    """A listening socket whose ``accept`` fails so many times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left, self.tried = failures, 0
        self.setblocking(False)
        self.bind(("127.0.0.1", 0))
        self.listen()

    def accept(self) -> tuple[socket.socket, object]:
        self.tried += 1
        if self.tried <= self.left:
            raise OSError(self.number, os.strerror(self.number))
        return super().accept()

    number = errno.EMFILE


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_lack_of_descriptors_is_waited_for_and_logged_once(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "PAUSE", 0.02)

    async def conversation() -> int:
        accepted = asyncio.get_running_loop().create_future()
        with Exhausted(3) as listener, socket.socket() as client:
            listener.number = number
            door = Connections(
                10, 30.0, Unread(25.0), lambda connection, address: (connection.close(), accepted.set_result(None))
            )
            door.listen([listener])
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
            await asyncio.wait_for(accepted, 20)
            door.close()
            return listener.tried

    with caplog.at_level(logging.WARNING):
        tried = asyncio.run(conversation())

    assert 4 <= tried <= 5  # three times in vain, with a pause after each; then once, and perhaps once too often
    assert [record.name for record in caplog.records].count(connections.logger.name) == 1


def test_another_error_is_not_swallowed() -> None:
    failures = []

    async def conversation() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context["exception"]))
        with Exhausted(1) as listener, socket.socket() as client:
            listener.number = errno.EPERM
            door = Connections(10, 30.0, Unread(25.0), lambda connection, address: connection.close())
            door.listen([listener])
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
            while listener.tried < 2:
                await asyncio.sleep(0.01)
            door.close()

    asyncio.run(conversation())

    assert [error.errno for error in failures] == [errno.EPERM]
