"""The pauses between attempts to reconnect, as histories of attempts."""

from __future__ import annotations

import pytest

from clock import Clock
from ringback.wire.backoff import ReconnectBackoff


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backoff(clock: Clock) -> ReconnectBackoff:
    return ReconnectBackoff(clock)


def test_a_connection_counts_as_lost_until_it_is_made(backoff: ReconnectBackoff, clock: Clock) -> None:
    clock.now += 4
    assert backoff.lost_for(3)

    backoff.connected()
    clock.now += 100
    assert not backoff.lost_for(3)


def test_failed_attempts_do_not_restart_the_time_of_the_loss(backoff: ReconnectBackoff, clock: Clock) -> None:
    for _ in range(4):
        backoff.lost()
        clock.now += 1

    assert backoff.lost_for(3)


def test_pauses_grow_to_a_limit(backoff: ReconnectBackoff) -> None:
    pauses = [backoff.lost() for _ in range(7)]

    assert pauses == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_a_connection_that_lasted_is_made_again_at_once(backoff: ReconnectBackoff, clock: Clock) -> None:
    for _ in range(5):
        backoff.lost()
    backoff.connected()
    clock.now += 60

    assert backoff.lost() == 0.0


def test_a_connection_that_is_lost_at_once_every_time_is_made_ever_more_slowly(
    backoff: ReconnectBackoff, clock: Clock
) -> None:
    pauses = []
    for _ in range(6):
        backoff.connected()
        clock.now += 0.01
        pauses.append(backoff.lost())

    assert pauses[-1] == 1.0
