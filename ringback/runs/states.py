"""The states of a run, and which event leads from which to which. Pure data.

A run goes forward only; an event that comes late, or twice, finds no entry in the table and changes nothing. The one
step back is a task that retries, which is queued again. Two flags belong to a run beside its state:

- ``detached``: a client was told to come back for the run. Then a refusal cannot be answered to the request that made
  the run, so the run ends as a failure that can be found.
- ``owned``: this process waits for the result and applies events. A run of another process is a copy of what its owner
  has recorded; it takes no events until this process takes it over.
"""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """The state that a run is in."""

    __hash__ = str.__hash__  # that of Enum is written in Python, and a run is looked up twenty times

    ACCEPTED = "ACCEPTED"  #: its message is in the outbox
    QUEUED = "QUEUED"  #: the broker has confirmed the message
    STARTED = "STARTED"  #: a worker has started it, and says so (``track_started``)
    PROGRESS = "PROGRESS"  #: the task has reported progress by ``update_state``
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    UNTRACKED = "UNTRACKED"  #: it is queued, and its task stores no result, so nothing more will be known
    REFUSED = "REFUSED"  #: it was not made after all

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to the run."""
        return self in TRANSITIONS

    @property
    def is_final(self) -> bool:
        """Whether the run has ended with an outcome."""
        return self in FINAL

    @property
    def shown(self) -> str:
        """The state as clients see it."""
        return State.QUEUED.value if self is State.UNTRACKED else self.value


class Event(Enum):
    """What can happen to a run."""

    __hash__ = object.__hash__

    CONFIRMED = "the broker has confirmed the message"
    STARTED = "a worker has started the task"
    PROGRESSED = "the task has reported progress"
    RETRIED = "the task will be tried again"
    SUCCEEDED = "the task has returned"
    FAILED = "the task has raised, or its reply cannot be read"
    REVOKED = "the task was revoked"
    EXPIRED = "no worker started or ended the task in time"
    UNTRACKED = "the task stores no result"
    REFUSED = "the message did not reach the broker"


FINAL = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED, State.EXPIRED})

#: What only a worker can tell: the broker had the message, even if its confirm is still under way.
PROOF_OF_QUEUE = frozenset({Event.STARTED, Event.PROGRESSED, Event.SUCCEEDED, Event.FAILED})

_ENDS = {
    Event.SUCCEEDED: State.SUCCESS,
    Event.FAILED: State.FAILURE,
    Event.REVOKED: State.REVOKED,
    Event.EXPIRED: State.EXPIRED,
    Event.UNTRACKED: State.UNTRACKED,
    Event.REFUSED: State.REFUSED,
}
_STEPS = {Event.PROGRESSED: State.PROGRESS, Event.RETRIED: State.QUEUED}

#: For each open state, the events that change it. A state that is not here is an end.
TRANSITIONS: dict[State, dict[Event, State]] = {
    State.ACCEPTED: {Event.CONFIRMED: State.QUEUED, Event.STARTED: State.STARTED, **_STEPS, **_ENDS},
    State.QUEUED: {Event.STARTED: State.STARTED, **_STEPS, **_ENDS},
    State.STARTED: {**_STEPS, **_ENDS},
    State.PROGRESS: {**_STEPS, **_ENDS},
}


def next_state(state: State, event: Event, detached: bool = False) -> State | None:
    """The state that an event leads to; ``None`` if it changes nothing.

    :param detached: whether a client was told to come back for the run.
    """
    if event is Event.REFUSED and detached and state.is_open:
        return State.FAILURE
    return TRANSITIONS.get(state, {}).get(event)
