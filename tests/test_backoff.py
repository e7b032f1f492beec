"""Outages, as histories of attempts."""

from __future__ import annotations

import pytest

from ringback.wire.backoff import ReconnectBackoff


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> ReconnectBackoff:
    return ReconnectBackoff(clock)


def test_a_connection_is_away_until_it_is_there(outage: ReconnectBackoff, clock: Clock) -> None:
    clock.now += 4
    assert outage.lost_for(3)

    outage.connected()
    clock.now += 100
    assert not outage.lost_for(3)


def test_failed_attempts_do_not_begin_the_outage_anew(outage: ReconnectBackoff, clock: Clock) -> None:
    for _ in range(4):
        outage.lost()
        clock.now += 1

    assert outage.lost_for(3)


def test_pauses_grow_to_a_limit(outage: ReconnectBackoff) -> None:
    pauses = [outage.lost() for _ in range(7)]

    assert pauses == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_a_connection_that_held_is_looked_for_at_once(outage: ReconnectBackoff, clock: Clock) -> None:
    for _ in range(5):
        outage.lost()
    outage.connected()
    clock.now += 60

    assert outage.lost() == 0.0


def test_a_connection_that_is_lost_at_once_every_time_is_not_hammered(outage: ReconnectBackoff, clock: Clock) -> None:
    pauses = []
    for _ in range(6):
        outage.connected()
        clock.now += 0.01
        pauses.append(outage.lost())

    assert pauses[-1] == 1.0
