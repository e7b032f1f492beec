"""A run's states follow their rules: a table of histories, and properties of all histories."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.errors import DeadlineExceeded, Refused, ShuttingDown
from ringback.runs import Run, State
from ringback.runs.states import FINAL, TRANSITIONS, Event, next_state

ORDER = [State.ACCEPTED, State.QUEUED, State.STARTED, State.PROGRESS]

EVENTS = st.lists(st.sampled_from(Event), max_size=12)


def state_after(events: list[Event], detached: bool = False) -> State:
    state = State.ACCEPTED
    for event in events:
        state = next_state(state, event, detached) or state
    return state


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ([], State.ACCEPTED),
        ([Event.CONFIRMED], State.QUEUED),
        ([Event.CONFIRMED, Event.STARTED, Event.SUCCEEDED], State.SUCCESS),
        ([Event.STARTED, Event.CONFIRMED], State.STARTED),  # the confirm came after the start
        ([Event.SUCCEEDED, Event.CONFIRMED], State.SUCCESS),
        ([Event.CONFIRMED, Event.PROGRESSED, Event.STARTED], State.PROGRESS),
        ([Event.CONFIRMED, Event.STARTED, Event.RETRIED], State.QUEUED),
        ([Event.CONFIRMED, Event.STARTED, Event.RETRIED, Event.STARTED, Event.FAILED], State.FAILURE),
        ([Event.CONFIRMED, Event.EXPIRED, Event.SUCCEEDED], State.EXPIRED),  # the result came too late
        ([Event.REVOKED, Event.SUCCEEDED], State.REVOKED),
        ([Event.CONFIRMED, Event.UNTRACKED, Event.SUCCEEDED], State.UNTRACKED),
        ([Event.REFUSED, Event.CONFIRMED], State.REFUSED),
    ],
)
def test_a_history_leads_to_its_state(history: list[Event], state: State) -> None:
    assert state_after(history) is state


def test_a_refusal_of_a_detached_run_is_a_failure() -> None:
    assert state_after([Event.REFUSED], detached=True) is State.FAILURE
    assert state_after([Event.SUCCEEDED, Event.REFUSED], detached=True) is State.SUCCESS


@given(EVENTS, st.booleans())
def test_nothing_changes_a_run_that_has_ended(events: list[Event], detached: bool) -> None:
    for end in set(State) - set(TRANSITIONS):
        for event in events:
            assert next_state(end, event, detached) is None


@given(EVENTS)
def test_a_run_goes_back_only_by_a_retry(events: list[Event]) -> None:
    state = State.ACCEPTED
    for event in events:
        following = next_state(state, event) or state
        if following in ORDER and event is not Event.RETRIED:
            assert ORDER.index(following) >= ORDER.index(state)
        assert following is not State.ACCEPTED or state is State.ACCEPTED
        state = following


@given(EVENTS)
def test_every_open_run_can_end_in_every_way(events: list[Event]) -> None:
    state = state_after(events)
    if state.is_open:
        assert {next_state(state, event) for event in Event} >= FINAL | {State.UNTRACKED, State.REFUSED}


def apply(run: Run, event: Event) -> None:
    """Apply an event to a run as the registry does."""
    if event is Event.SUCCEEDED:
        run.succeed("3")
    elif event is Event.PROGRESSED:
        run.report({"done": 1})
    elif event in (Event.FAILED, Event.REVOKED, Event.EXPIRED):
        run.fail(event, DeadlineExceeded("why"))
    elif event is Event.REFUSED:
        run.refuse(Refused("why"))
    elif event is Event.UNTRACKED:
        run.end_untracked()
    else:
        run.apply(event)


@given(EVENTS, st.booleans())
def test_a_run_shows_what_its_state_says(events: list[Event], detached: bool) -> None:
    run = Run("1", "1", "add", "anybody", "")
    run.detached = detached
    for event in events:
        apply(run, event)

    assert run.state is state_after(events, detached)
    assert run.has_ended is not run.state.is_open
    assert (run.result is not None) is (run.state is State.SUCCESS)
    assert (run.error is not None) is (run.state in FINAL - {State.SUCCESS})
    names = [event.name for event in run.events]
    assert names.count("result") == run.state.is_final
    assert "result" not in names[:-1]  # the result is the last event
    assert [event.number for event in run.events] == list(range(1, len(run.events) + 1))
    if run.state.is_final:
        assert run.state.value.lower() in run.timestamps
    if run.state in (State.SUCCESS, State.STARTED, State.PROGRESS):
        assert "queued" in run.timestamps


def test_a_client_that_waits_for_a_run_released_to_another_process_gets_the_error_at_once() -> None:
    async def conversation() -> None:
        run = Run("1", "1", "add", "anybody", "")
        early = run.wait(lambda: run.has_ended, 10_000)
        run.release(ShuttingDown("why"))
        late = run.wait(lambda: run.has_ended, 10_000)

        for waiter in (early, late):
            with pytest.raises(ShuttingDown):
                await asyncio.wait_for(waiter, 20)

    asyncio.run(conversation())
