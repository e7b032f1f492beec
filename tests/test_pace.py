"""Too much work lowers nobody's goodput: a call that cannot be answered in time is refused before it is made."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from kombu import Queue

from clock import Clock
from ringback.broker import Depth
from ringback.calls.call import Call
from ringback.calls.pace import HOLD, WINDOW, Pace
from ringback.calls.paces import Paces
from ringback.errors import NoWorker, QueueTooLong
from ringback.publish import Message
from simulated_queue import Simulation

Seconds = Callable[[random.Random], float]


def always(seconds: float) -> Seconds:
    return lambda chance: seconds


def mixed(chance: random.Random) -> float:
    return chance.choice([0.005] * 6 + [0.1] * 3 + [2.0])


MIXED_MEAN = (0.005 * 6 + 0.1 * 3 + 2.0) / 10


@pytest.mark.parametrize("gateways", [1, 2])
@pytest.mark.parametrize(
    ("seconds", "slots", "capacity"),
    [
        (always(0.005), 1, 200),
        (always(0.1), 5, 50),
        (always(2.0), 100, 50),
        (lambda chance: chance.expovariate(10), 5, 50),
        (mixed, 20, 20 / MIXED_MEAN),
    ],
    ids=["5 ms", "100 ms", "2 s", "random", "mixed"],
)
def test_at_twice_the_capacity_the_goodput_is_the_capacity(
    seconds: Seconds, slots: int, capacity: float, gateways: int
) -> None:
    done = Simulation(2 * capacity, seconds, slots, gateways=gateways).run(90)

    assert done.goodput(10, 90) >= 0.9 * capacity
    assert sorted(done.delays)[int(len(done.delays) * 0.99)] <= 5.0


def test_without_admission_it_is_nothing() -> None:
    done = Simulation(100, always(0.1), 5, prefetch=4, admits=False).run(60)

    assert done.goodput(20, 60) < 1


@pytest.mark.parametrize("times", [0.5, 0.8, 0.95])
def test_below_the_capacity_nothing_is_refused(times: float) -> None:
    done = Simulation(50 * times, always(0.1), 5).run(120)

    assert (done.refused, done.too_late) == ([], 0)


@pytest.mark.parametrize(("patience", "normal"), [(5.0, 2), (25.0, 10)])
def test_workers_that_stand_still_and_come_back(patience: float, normal: float) -> None:
    stopped = Simulation(100, always(0.1), 5, patience=patience, working=lambda now: 0 if 60 < now < 80 else 1)
    done = stopped.run(140)

    assert done.goodput(40, 60) >= 45
    assert done.goodput(80 + normal, 140) >= 45
    # Those that were in the queue, and that came before it was known; after that one at a time looks whether it moves.
    assert done.too_late <= 50 * patience


@pytest.mark.parametrize("patience", [5.0, 25.0])
def test_half_of_the_workers_go(patience: float) -> None:
    done = Simulation(100, always(0.1), 6, patience=patience, working=lambda now: 0.5 if now > 60 else 1).run(160)

    assert done.goodput(40, 60) >= 54
    assert done.goodput(60 + 1.5 * patience, 160) >= 27


def test_after_the_load_has_gone_nothing_is_refused() -> None:
    done = Simulation(100, always(0.1), 5, load=lambda now: 1 if now < 30 else 0.4).run(90)

    assert [moment for moment in done.refused if moment > 35] == []


def test_a_burst_that_can_be_done_in_time_is_not_refused() -> None:
    done = Simulation(10, always(0.1), 5, load=lambda now: 20 if 20 < now < 20.5 else 1).run(60)

    assert (done.refused, done.too_late) == ([], 0)


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
    read(clock, pace, messages=20)
    for place in places[:10]:
        pace.answer(place, did=True)
    read(clock, pace, messages=10)

    assert pace.ahead == 20
    assert pace.rate == 10  # ten in one second
    assert pace.wait == 2.1


def test_one_reading_with_a_backlog_says_nothing(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(100)]
    pace.answer(places[0], did=True)
    read(clock, pace, messages=50)
    assert pace.wait == 0

    read(clock, pace, messages=0)
    read(clock, pace, messages=50)
    assert pace.wait == 0

    read(clock, pace, messages=50)
    assert pace.wait > 5


def test_a_worker_with_room_to_spare_is_never_too_slow(clock: Clock, pace: Pace) -> None:
    for _ in range(1000):  # of tasks that take a minute
        pace.enter()
    pace.answer(1, did=True)
    read(clock, pace, messages=0, times=100)

    assert pace.wait == 0


def test_a_queue_counts_as_busy_for_some_seconds_after_its_last_backlog(clock: Clock, pace: Pace) -> None:
    for _ in range(100):
        pace.enter()
    read(clock, pace, messages=50, times=2)
    for place in range(1, 11):
        pace.answer(place, did=True)
    read(clock, pace, messages=0)
    assert pace.wait > 5

    clock.now += HOLD
    assert pace.wait == 0


def test_calls_that_nobody_waits_for_are_not_ahead(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(10)]
    for place in (places[3], places[8], places[5]):
        pace.leave(place)
    assert pace.ahead == 7

    pace.answer(places[5], did=True)  # all up to this one have been begun, or dropped
    assert pace.ahead == 3  # the seventh, the eighth and the tenth
    pace.leave(places[0])
    assert pace.ahead == 3
    pace.answer(places[9], did=True)
    assert pace.ahead == 0


def test_what_is_dropped_is_no_work(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(10)]
    read(clock, pace, messages=5, times=2)
    for place in places[:5]:
        pace.answer(place, did=False)

    assert (pace.ahead, pace.rate) == (5, 0)


def test_while_nothing_is_known_calls_are_admitted(clock: Clock, pace: Pace) -> None:
    for _ in range(1000):
        pace.enter()
    read(clock, pace, messages=900, times=20)

    assert pace.wait == 0


def test_workers_that_have_stopped_are_not_waited_for(clock: Clock, pace: Pace) -> None:
    places = [pace.enter() for _ in range(100)]
    pace.answer(places[0], did=True)
    read(clock, pace, messages=90, times=2)
    assert pace.wait > 5
    clock.now += WINDOW
    read(clock, pace, messages=90, times=2)

    assert pace.rate == 0
    assert pace.wait >= WINDOW
    for place in places:
        pace.leave(place)
    assert pace.wait == 0  # one call looks whether they are back


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


def message(queue: str = "celery", **headers: object) -> Message:
    properties = {"delivery_mode": 2}
    return Message("a", b"", "application/json", "utf-8", headers, properties, "", queue, None, [Queue(queue)])


@pytest.fixture
def paces(clock: Clock) -> Paces:
    return Paces(10, clock)


def fill(clock: Clock, paces: Paces, queue: str = "celery") -> None:
    """A queue in which a hundred calls wait, and ten a second are answered."""
    calls = []
    for _ in range(100):
        calls.append(cast(Call, SimpleNamespace()))
        paces.read(queue, Depth(50, 1))
        paces.enter(message(queue), calls[-1])
    for made in calls[:10]:
        clock.now += 0.1
        assert made.pace is not None
        made.pace.answer(made.place, did=True)
        paces.read(queue, Depth(50, 1))


def test_a_call_that_would_be_too_late_is_refused_with_the_time_to_come_back(clock: Clock, paces: Paces) -> None:
    fill(clock, paces)

    paces.admit(message(), 12)  # about nine seconds
    for _ in range(100):
        with pytest.raises(QueueTooLong, match=r"queue 'celery' answers after about 9\.1 s") as refused:
            paces.admit(message(), 5)
        assert refused.value.retry_after is not None
        assert 4 <= refused.value.retry_after <= 8  # five seconds until it would be in time, spread


def test_what_is_delayed_and_what_goes_to_another_queue_is_not_refused(clock: Clock, paces: Paces) -> None:
    fill(clock, paces)

    paces.admit(message(eta="2026-12-01T00:00:00"), 5)
    paces.admit(message("another"), 5)
    made = cast(Call, SimpleNamespace(pace=None))
    paces.enter(message(eta="2026-12-01T00:00:00"), made)
    assert made.pace is None


def test_a_queue_without_workers_takes_nothing_that_is_waited_for(clock: Clock, paces: Paces) -> None:
    patient = Paces(0, clock)
    for each in (paces, patient):
        each.read("celery", Depth(0, 0))
    for _ in range(20):
        clock.now += 0.5
        for each in (paces, patient):
            each.read("celery", Depth(0, 0))

    with pytest.raises(NoWorker, match="from queue 'celery' for 10 s"):
        paces.admit(message(), 25)
    patient.admit(message(), 25)
