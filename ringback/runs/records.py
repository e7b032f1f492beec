"""A run as other processes read it: a JSON object, and its events as a list of their own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ringback.runs.event_log import RunEvent
from ringback.runs.run import Run
from ringback.runs.states import State

#: The attributes of a run that its record holds.
RECORDED = (
    "run_id",
    "call_id",
    "task",
    "caller",
    "fingerprint",
    "state",
    "timestamps",
    "progress",
    "result",
    "error",
    "detached",
    "members",
)


def to_record(run: Run) -> dict[str, Any]:
    """The record of a run, without its events."""
    return {name: getattr(run, name) for name in RECORDED}


def from_record(record: dict[str, Any], events: Sequence[RunEvent]) -> Run:
    """A run of another process, as its owner has recorded it."""
    run = Run(*(record[name] for name in ("run_id", "call_id", "task", "caller", "fingerprint")))
    run.owned = False
    restore(run, record, events)
    return run


def restore(run: Run, record: dict[str, Any], events: Sequence[RunEvent]) -> None:
    """Bring a run of another process up to what its owner has recorded."""
    for name in RECORDED:
        setattr(run, name, record[name])
    run.state = State(record["state"])
    run.events.replace(events)
    run.replicated = run.events.last
    run.wake()


def has_ended(record: dict[str, Any]) -> bool:
    """Whether nothing can happen to the recorded run any more."""
    return not State(record["state"]).is_open
