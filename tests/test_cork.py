"""What a connection's greenlets write goes out in few pieces, in order, and never later than somebody needs it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.transport import TCPTransport

from ringback.wire.cork import BURST, Cork


class FakeTransport(TCPTransport):  # type: ignore[misc]
    """A transport whose peer is the test."""

    def __init__(self) -> None:
        self.sock = None
        self.sent: list[bytes] = []
        self.on_send: Callable[[], object] = lambda: None
        self.on_read: Callable[[], object] = lambda: None

    def write(self, data: bytes) -> None:
        self.sent.append(bytes(data))
        self.on_send()

    def _quick_recv(self, size: int) -> bytes:
        self.on_read()
        return b"read"


def corked(until_read: bool) -> tuple[Cork, FakeTransport]:
    cork, transport = Cork(until_read), FakeTransport()
    connection: Any = SimpleNamespace(frame_max=131_072, bytes_sent=0)
    cork.frame_writer(connection, transport)
    return cork, transport


def test_a_burst_goes_out_in_one_piece() -> None:
    cork, transport = corked(until_read=False)
    with cork:
        cork.write(b"a")
        cork.write(b"b")
        assert transport.sent == []
    cork.write(b"c")

    assert transport.sent == [b"ab", b"c"]


def test_what_is_written_goes_out_before_the_connection_is_read() -> None:
    cork, transport = corked(until_read=True)
    cork.write(b"a")
    cork.write(b"b")
    assert transport.sent == []

    assert transport._quick_recv(1) == b"read"
    assert transport.sent == [b"ab"]


def test_what_is_written_while_a_read_waits_goes_out_at_once() -> None:
    cork, transport = corked(until_read=True)
    transport.on_read = lambda: cork.write(b"an acknowledgement")
    transport._quick_recv(1)

    assert transport.sent == [b"an acknowledgement"]
    cork.write(b"later")
    assert transport.sent == [b"an acknowledgement"]


def test_a_read_that_fails_leaves_the_cork_as_it_was() -> None:
    cork, transport = corked(until_read=True)

    def fail() -> None:
        raise TimeoutError

    transport.on_read = fail
    with pytest.raises(TimeoutError):
        transport._quick_recv(1)
    cork.write(b"a")
    assert transport.sent == []


def test_what_is_written_while_another_piece_goes_out_follows_it() -> None:
    cork, transport = corked(until_read=False)
    written = iter([b"second", b"third"])

    def write_more() -> None:
        for data in written:
            cork.write(data)
            assert transport.sent == [b"first"]

    transport.on_send = write_more
    cork.write(b"first")

    assert transport.sent == [b"first", b"secondthird"]


def test_a_burst_that_ends_while_another_piece_goes_out_follows_it() -> None:
    cork, transport = corked(until_read=False)
    bursts = iter([b"burst"])

    def write_a_burst() -> None:
        for data in bursts:
            with cork:
                cork.write(data)

    transport.on_send = write_a_burst
    cork.write(b"heartbeat")

    assert transport.sent == [b"heartbeat", b"burst"]


def test_who_still_sends_on_a_lost_connection_does_not_hold_up_the_next_one() -> None:
    cork, lost = corked(until_read=False)
    following = FakeTransport()
    connection: Any = SimpleNamespace(frame_max=131_072, bytes_sent=0)

    def connect_again() -> None:  # by another greenlet, while this one waits in send
        cork.frame_writer(connection, following)
        cork.write(b"open")
        assert following.sent == [b"open"]
        raise TimeoutError

    lost.on_send = connect_again
    with pytest.raises(ConnectionResetError):
        cork.write(b"heartbeat")
    cork.write(b"publish")
    assert (lost.sent, following.sent) == ([b"heartbeat"], [b"open", b"publish"])


def test_a_long_burst_is_not_held_back() -> None:
    cork, transport = corked(until_read=True)
    cork.write(b"x" * (BURST + 1))

    assert transport.sent == [b"x" * (BURST + 1)]


def test_a_broker_that_does_not_read_is_lost() -> None:
    cork, transport = corked(until_read=False)

    def time_out() -> None:
        raise TimeoutError

    transport.on_send = time_out
    with pytest.raises(ConnectionResetError):
        cork.write(b"a")
