"""The loop that keeps a connection, as a history of its sessions."""

from __future__ import annotations

import pytest

from clock import Clock
from ringback.wire import ReconnectBackoff, keep_connected
from stack import converse


def test_a_session_that_fails_is_run_again_after_growing_pauses(caplog: pytest.LogCaptureFixture) -> None:
    sessions: list[int] = []
    pauses: list[float] = []

    def session() -> None:
        sessions.append(len(sessions))
        raise ConnectionError("lost")

    keep_connected(session, ReconnectBackoff(Clock()), "tests", lambda: len(sessions) == 4, pauses.append)

    assert pauses == pytest.approx([0.0, 0.1, 0.2, 0.4])
    assert caplog.text.count("no connection for tests") == 4


def test_a_session_that_connects_starts_the_pauses_anew() -> None:
    clock, pauses = Clock(), []
    backoff = ReconnectBackoff(clock)

    def session() -> None:
        if len(pauses) == 2:
            backoff.connected()
            clock.now += 60
        raise ConnectionError("lost")

    keep_connected(session, backoff, "tests", lambda: len(pauses) == 4, pauses.append)

    assert pauses == pytest.approx([0.0, 0.1, 0.0, 0.1])


def test_it_pauses_as_a_greenlet_where_gevent_patches_after_the_import() -> None:
    preamble = """
import ringback.wire
from gevent import monkey
monkey.patch_all()
import asyncio
import gevent
from ringback.wire import ReconnectBackoff, keep_connected

events = []

def session():
    events.append("session")
    raise ConnectionError

def other():
    events.append("other greenlet")
"""
    conversation = """
gevent.spawn(other)
keep_connected(session, ReconnectBackoff(), "tests", lambda: events.count("session") == 2)
print(events)
"""
    assert "['session', 'other greenlet', 'session']" in converse(preamble, conversation).stdout
