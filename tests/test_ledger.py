"""The ledger settles each call once: tables of histories."""

from __future__ import annotations

import pytest

from clock import Clock
from ringback.calls.ledger import Ledger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger[str]:
    return Ledger(clock)


def test_a_call_is_settled_exactly_once(ledger: Ledger[str]) -> None:
    ledger.enter("a", "waiter", deadline=5)

    assert ledger.settle("a") == "waiter"
    assert ledger.settle("a") is None
    assert len(ledger) == 0


def test_a_call_that_never_entered_cannot_be_settled(ledger: Ledger[str]) -> None:
    assert ledger.settle("stranger") is None


def test_a_call_cannot_enter_twice(ledger: Ledger[str]) -> None:
    ledger.enter("a", "waiter", deadline=5)

    with pytest.raises(ValueError, match="already"):
        ledger.enter("a", "another", deadline=5)


def test_calls_are_overdue_in_the_order_of_their_deadlines(ledger: Ledger[str], clock: Clock) -> None:
    for call_id, deadline in (("late", 30), ("soon", 1), ("middle", 5)):
        ledger.enter(call_id, call_id, deadline)

    clock.now += 5
    assert ledger.overdue() == ["soon", "middle"]
    assert ledger.overdue() == []
    assert "soon" in ledger  # until it is settled


def test_a_settled_call_is_never_overdue(ledger: Ledger[str], clock: Clock) -> None:
    ledger.enter("a", "waiter", deadline=1)
    ledger.settle("a")

    clock.now += 2
    assert ledger.overdue() == []


def test_an_id_that_enters_again_has_only_its_new_deadline(ledger: Ledger[str], clock: Clock) -> None:
    ledger.enter("a", "first", deadline=1)
    ledger.settle("a")
    ledger.enter("a", "second", deadline=10)

    clock.now += 5
    assert ledger.overdue() == []
    assert ledger.next_deadline() == 5


@pytest.mark.parametrize(
    ("settled", "passed", "expected"),
    [((), 0, 1), (("a",), 0, 5), (("a", "b"), 0, None), ((), 3, 0), (("a",), 7, 0)],
)
def test_the_next_deadline_is_that_of_the_calls_still_held(
    ledger: Ledger[str], clock: Clock, settled: tuple[str, ...], passed: float, expected: float | None
) -> None:
    ledger.enter("a", "a", deadline=1)
    ledger.enter("b", "b", deadline=5)
    for call_id in settled:
        ledger.settle(call_id)
    clock.now += passed

    assert ledger.next_deadline() == expected


def test_settled_calls_leave_no_deadlines_behind(ledger: Ledger[str]) -> None:
    for number in range(10_000):
        ledger.enter(str(number), "waiter", deadline=25)
        ledger.settle(str(number))

    assert len(ledger._deadlines) < 100
