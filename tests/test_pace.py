"""How long a new call would wait, by how fast the calls of its queue are answered."""

from __future__ import annotations

import pytest

from clock import Clock
from ringback.traffic import Pace
from ringback.traffic.pace import HOLD, WINDOW


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


def read(clock: Clock, pace: Pace, messages: int, consumers: int | None = 1, times: int = 1) -> None:
    """Let half a second go by before each of so many readings."""
    for _ in range(times):
        clock.now += 0.5
        pace.read(messages, consumers)


def test_the_wait_is_the_calls_ahead_by_the_rate(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(30)]
    read(clock, pace, messages=20, times=2)
    for place in places[:11]:
        pace.answer(place, did=True, took=0.1)
    read(clock, pace, messages=10, times=2)

    assert pace.ahead == 19
    assert pace.rate == 10  # ten in the second after the first
    assert pace.wait() == 2.0


def test_the_rate_is_not_known_before_those_that_run_beside_the_first_could_end(clock: Clock, pace: Pace) -> None:
    for _ in range(100):
        pace.enter()
    read(clock, pace, messages=50, times=3)
    pace.answer(1, did=True, took=2.5)
    pace.answer(2, did=True, took=2.5)
    read(clock, pace, messages=50, times=2)
    assert (pace.rate, pace.wait()) == (0, 0)

    for place in range(3, 33):
        pace.answer(place, did=True, took=2.5)
    read(clock, pace, messages=20)
    assert pace.rate == 31 / 1.5


def test_until_the_rate_is_known_it_is_that_of_the_last_backlog(clock: Clock, pace: Pace) -> None:
    for _ in range(100):
        pace.enter()
    read(clock, pace, messages=50, times=2)
    for place in range(1, 12):
        pace.answer(place, did=True, took=0.1)
    read(clock, pace, messages=50, times=2)  # ten a second
    for place in range(12, 101):
        pace.answer(place, did=False, took=0.1)
    read(clock, pace, messages=0, times=12)  # nothing to do for longer than a queue counts as busy
    last = [pace.enter() for _ in range(20)][-1]
    read(clock, pace, messages=20, times=2)
    assert pace.wait() == 2.1  # and not that and the six seconds in which there was nothing to do

    pace.answer(last - 19, did=True, took=2.0)
    assert pace.wait() == 2.0


def test_answers_from_before_the_backlog_do_not_tell_the_rate(clock: Clock, pace: Pace) -> None:
    pace.enter()  # of a long task: the queue is never without a call
    for _ in range(8):
        pace.answer(pace.enter(), did=True, took=0.1)
        read(clock, pace, messages=0)
    assert pace.rate == 7 / 4  # those after the first, in four seconds
    for _ in range(100):
        pace.enter()
    read(clock, pace, messages=50, times=2)

    assert pace.wait() == 0


def test_one_reading_with_a_backlog_says_nothing(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(100)]
    read(clock, pace, messages=50)
    assert pace.wait() == 0

    read(clock, pace, messages=0)
    read(clock, pace, messages=50)
    assert pace.wait() == 0

    read(clock, pace, messages=50)
    for place in places[:2]:
        pace.answer(place, did=True, took=0.1)
    read(clock, pace, messages=50)
    assert pace.wait() > 5


def test_a_worker_with_room_to_spare_is_never_too_slow(clock: Clock, pace: Pace) -> None:
    for _ in range(1000):  # of tasks that take a minute
        pace.enter()
    pace.answer(1, did=True, took=0.1)
    read(clock, pace, messages=0, times=100)

    assert pace.wait() == 0


def test_a_queue_counts_as_busy_for_some_seconds_after_its_last_backlog(clock: Clock, pace: Pace) -> None:
    for _ in range(100):
        pace.enter()
    read(clock, pace, messages=50, times=2)
    for place in range(1, 11):
        pace.answer(place, did=True, took=0.1)
    read(clock, pace, messages=0)
    assert pace.wait() > 5

    clock.now += HOLD
    assert pace.wait() == 0


def test_calls_that_nobody_waits_for_are_not_ahead(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(10)]
    for place in (places[3], places[8], places[5]):
        pace.leave(place)
    assert pace.ahead == 7

    pace.answer(places[5], did=True, took=0.1)  # all up to this one have been begun, or dropped
    assert pace.ahead == 3  # the seventh, the eighth and the tenth
    pace.leave(places[0])
    assert pace.ahead == 3
    pace.answer(places[9], did=True, took=0.1)
    assert pace.ahead == 0


def test_what_is_dropped_is_no_work(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(10)]
    read(clock, pace, messages=5, times=2)
    for place in places[:5]:
        pace.answer(place, did=False, took=0.1)

    assert (pace.ahead, pace.rate) == (5, 0)


def test_while_nothing_is_known_calls_are_admitted(clock: Clock, pace: Pace) -> None:
    for _ in range(1000):
        pace.enter()
    read(clock, pace, messages=900, times=20)

    assert pace.wait() == 0


def test_workers_that_have_stopped_are_not_waited_for(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(100)]
    read(clock, pace, messages=90, times=2)
    for place in places[:2]:
        pace.answer(place, did=True, took=0.1)
    read(clock, pace, messages=90)
    assert pace.wait() > 5
    clock.now += WINDOW
    read(clock, pace, messages=90, times=2)

    assert pace.rate == 0
    assert pace.wait() >= WINDOW
    for place in places:
        pace.leave(place)
    assert pace.wait() == 0  # one call looks whether they are back


def test_a_queue_from_which_nobody_takes_is_known(clock: Clock, pace: Pace) -> None:
    read(clock, pace, messages=0, consumers=0, times=20)
    assert pace.untaken == 10

    read(clock, pace, messages=0, consumers=1)
    assert pace.untaken == 0

    pace.enter()
    read(clock, pace, messages=1, times=10)
    assert pace.untaken == 5

    read(clock, pace, messages=0)
    assert pace.untaken == 0


def test_while_the_broker_is_away_nothing_is_known_of_the_workers(clock: Clock, pace: Pace) -> None:
    pace.enter()
    read(clock, pace, messages=1, times=4)
    clock.now += 30
    assert pace.untaken == 2

    read(clock, pace, messages=1)
    assert pace.untaken == 0
    read(clock, pace, messages=1, times=20)
    assert pace.untaken == 10


def test_where_the_broker_does_not_tell_its_consumers_an_empty_queue_is_no_lack(clock: Clock, pace: Pace) -> None:
    read(clock, pace, messages=0, consumers=None, times=50)
    assert pace.untaken == 0
