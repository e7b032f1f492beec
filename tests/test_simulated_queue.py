"""Too much work, in simulated time: the goodput is the capacity, and each tenant has its share of it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ringback.traffic import Lane, Tenant
from ringback.traffic.excess import MOST, Excess
from simulated_queue import Simulation

Seconds = Callable[[random.Random], float]

ONE, OTHER = Tenant("one"), Tenant("other")


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
    done = Simulation({ONE: 2 * capacity}, seconds, slots, gateways=gateways).run(90)

    assert done.goodput(10, 90) >= 0.9 * capacity
    delays = done.delays(ONE)
    assert delays[int(len(delays) * 0.99)] <= 5.0


@pytest.mark.parametrize("gateways", [1, 2])
def test_of_tasks_that_take_longer_than_others_fewer_are_admitted_but_they_are_in_time(gateways: int) -> None:
    done = Simulation({ONE: 2 * 20 / MIXED_MEAN}, mixed, 20, gateways=gateways).run(90)

    slow = [call for call in done.answered if call.seconds == 2.0]
    assert len(slow) >= 500
    assert done.too_late <= 0.35 * len(slow)  # a fourth, of 16 seeds: the load swings, as the rate is known late
    assert sum(call.seconds for call in done.answered) >= 0.8 * 20 * 90


def test_a_task_that_takes_longer_than_its_clients_wait_is_not_refused_for_that() -> None:
    lane: Lane[object] = Lane()
    for _ in range(100):
        lane.excess.note("long", 60.0)
        lane.excess.note("short", 0.0)

    assert lane.late_by(ONE, "long", 5.0) == 0
    assert lane.excess.of("long") > 20
    assert lane.excess.of("short") == lane.excess.of("never called") == 0


def test_excess_is_known_of_a_bounded_number_of_tasks() -> None:
    excess = Excess()
    excess.note("usual", 0.0)
    for number in range(2 * MOST):
        excess.note("usual", 0.0)
        excess.note(f"task {number}", 100.0)

    assert excess.of("task 0") == 0 < excess.of(f"task {2 * MOST - 1}")


def test_without_admission_it_is_nothing() -> None:
    done = Simulation({ONE: 100}, always(0.1), 5, prefetch=4, admits=False).run(60)

    assert done.goodput(20, 60) < 1


@pytest.mark.parametrize("times", [0.5, 0.8, 0.95])
def test_below_the_capacity_nothing_is_refused(times: float) -> None:
    done = Simulation({ONE: 50 * times}, always(0.1), 5).run(120)

    assert (done.refused, done.too_late) == ([], 0)


@pytest.mark.parametrize(("patience", "normal"), [(5.0, 2), (25.0, 10)])
def test_workers_that_stand_still_and_come_back(patience: float, normal: float) -> None:
    stopped = Simulation({ONE: 100}, always(0.1), 5, patience=patience, working=lambda now: 0 if 60 < now < 80 else 1)
    done = stopped.run(140)

    assert done.goodput(40, 60) >= 45
    assert done.goodput(80 + normal, 140) >= 45
    # Those that were in the queue, and that came before it was known; after that one at a time looks whether it moves.
    assert done.too_late <= 50 * patience


@pytest.mark.parametrize("patience", [5.0, 25.0])
def test_half_of_the_workers_go(patience: float) -> None:
    done = Simulation({ONE: 100}, always(0.1), 6, patience=patience, working=lambda now: 0.5 if now > 60 else 1).run(
        160
    )

    assert done.goodput(40, 60) >= 54
    assert done.goodput(60 + 1.5 * patience, 160) >= 27


def test_after_the_load_has_gone_nothing_is_refused() -> None:
    done = Simulation({ONE: 100}, always(0.1), 5, load=lambda now: 1 if now < 30 else 0.4).run(90)

    assert [moment for moment, _ in done.refused if moment > 35] == []


def test_a_burst_that_can_be_done_in_time_is_not_refused() -> None:
    done = Simulation({ONE: 10}, always(0.1), 5, load=lambda now: 20 if 20 < now < 20.5 else 1).run(60)

    assert (done.refused, done.too_late) == ([], 0)


@pytest.mark.parametrize("before", [0.0, 2.0], ids=["cold", "after a trickle"])
@pytest.mark.parametrize("spread", [0.0, 0.5], ids=["equal tasks", "tasks that differ"])
def test_a_burst_that_finds_more_slots_than_tasks_is_not_refused(before: float, spread: float) -> None:
    def seconds(chance: random.Random) -> float:
        return 1 + spread * chance.random()

    def load(now: float) -> float:
        return 500.0 if 20 < now < 24 else before

    done = Simulation({ONE: 1.0}, seconds, slots=1000, load=load).run(40)

    assert (done.refused, done.too_late) == ([], 0)
    assert len(done.answered) >= 1900


@pytest.mark.parametrize("gateways", [1, 2, 4])
@pytest.mark.parametrize(
    ("seconds", "slots", "capacity", "most"),
    [(always(0.1), 5, 50, 0.35), (always(0.02), 4, 200, 0.1), (mixed, 20, 20 / MIXED_MEAN, 4.0)],
    ids=["100 ms", "20 ms", "mixed"],
)
def test_one_that_offers_five_times_the_capacity_does_not_touch_another(
    seconds: Seconds, slots: int, capacity: float, most: float, gateways: int
) -> None:
    end = 20 + 1000 / capacity
    done = Simulation({ONE: 5 * capacity, OTHER: capacity / 10}, seconds, slots, gateways=gateways).run(end)

    delays = done.delays(OTHER, 10)
    refused = sum(tenant == OTHER and moment > 10 for moment, tenant in done.refused)
    assert refused <= 0.02 * len(delays)
    assert delays[len(delays) // 2] <= most  # one task that runs, one that the worker has prefetched, and its own
    assert done.goodput(10, end) >= 0.9 * capacity


def test_two_that_want_everything_have_as_much_as_their_weights() -> None:
    heavy = Tenant("heavy", 3.0)
    done = Simulation({ONE: 100, heavy: 200}, always(0.1), 5).run(60)

    assert done.goodput(10, 60) >= 45
    assert 2.7 <= done.goodput(10, 60, heavy) / done.goodput(10, 60, ONE) <= 3.3


def test_of_two_gateways_that_want_everything_none_gives_way() -> None:
    done = Simulation({ONE: 100}, always(0.1), 5, gateways=2).run(60)

    shares = [sum(call.lane is lane for call in done.answered) for lane in done.lanes]
    assert min(shares) >= 0.35 * sum(shares)
