"""The broker's answers to published messages, as tables of histories and against a plain model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ringback.wire import ConfirmTracker


def tracker(*messages: str) -> ConfirmTracker[str]:
    made: ConfirmTracker[str] = ConfirmTracker()
    for age, message in enumerate(messages):
        made.sent(message, since=float(age))
    return made


@pytest.mark.parametrize(
    ("answers", "confirmed", "left"),
    [
        ([(1, False)], ["a"], ["b", "c"]),
        ([(2, True)], ["a", "b"], ["c"]),
        ([(3, False), (2, True)], ["c", "a", "b"], []),
        ([(2, False), (2, False)], ["b"], ["a", "c"]),  # answered twice
        ([(9, False)], [], ["a", "b", "c"]),  # never sent
        ([(9, True)], ["a", "b", "c"], []),
    ],
)
def test_an_answer_confirms_the_messages_that_it_names(
    answers: list[tuple[int, bool]], confirmed: list[str], left: list[str]
) -> None:
    tracked = tracker("a", "b", "c")

    assert [message for tag, multiple in answers for message in tracked.answered(tag, multiple)] == confirmed
    assert list(tracked) == left


def test_a_returned_message_leaves_before_its_confirm_comes() -> None:
    tracked = tracker("a", "b")

    assert tracked.matching(lambda message: message == "b") == ["b"]
    assert tracked.answered(2, multiple=True) == ["a"]


def test_a_message_that_was_not_written_gives_its_tag_to_the_next() -> None:
    tracked = tracker("a")
    tag = tracked.sent("broken", since=1.0)

    assert tracked.not_sent(tag)
    assert tracked.sent("b", since=2.0) == tag
    assert tracked.answered(tag, multiple=False) == ["b"]


def test_only_the_last_message_can_be_taken_back() -> None:
    with pytest.raises(ValueError, match="not the last"):
        tracker("a", "b").not_sent(1)


def test_old_messages_are_given_up_once_and_a_later_answer_has_no_effect() -> None:
    tracked = tracker("a", "b", "c")

    assert tracked.oldest() == 0.0
    assert tracked.older(than=2.0) == ["a", "b"]
    assert tracked.older(than=2.0) == []
    assert tracked.answered(2, multiple=True) == []
    assert tracked.oldest() == 2.0


@given(st.lists(st.booleans(), max_size=20))
def test_a_lost_channel_returns_all_unconfirmed_messages_in_order(acked: list[bool]) -> None:
    tracked = tracker(*map(str, range(len(acked))))
    for number, is_acked in enumerate(acked):
        if is_acked:
            tracked.answered(number + 1, multiple=False)

    assert tracked.all() == [str(number) for number, is_acked in enumerate(acked) if not is_acked]
    assert len(tracked) == 0


class Tracking(RuleBasedStateMachine):
    """Each message leaves the tracker exactly once, in every order of events."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker: ConfirmTracker[int] = ConfirmTracker()
        self.model: dict[int, int] = {}
        self.sent = 0
        self.left: list[int] = []

    @rule()
    def send(self) -> None:
        self.sent += 1
        self.model[self.tracker.sent(self.sent, since=float(self.sent))] = self.sent

    @rule(tag=st.integers(0, 30), multiple=st.booleans())
    def answer(self, tag: int, multiple: bool) -> None:
        expected = [other for other in self.model if other == tag or (multiple and other <= tag)]
        assert self.tracker.answered(tag, multiple) == [self.model.pop(other) for other in expected]
        self.left += expected

    @rule(age=st.integers(0, 30))
    def give_up(self, age: int) -> None:
        expected = [tag for tag, message in self.model.items() if message < age]
        assert self.tracker.older(float(age)) == [self.model.pop(tag) for tag in expected]
        self.left += expected

    @invariant()
    def each_is_tracked_or_has_left(self) -> None:
        assert list(self.tracker) == list(self.model.values())
        assert len(self.left) == len(set(self.left))


TestTracking = Tracking.TestCase
