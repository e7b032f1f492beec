"""How a run is shown to clients: as one JSON document, and as a stream of events. Pure."""

from __future__ import annotations

from typing import Any

from ringback.runs import Run, RunEvent, to_json_object


def run_document(run: Run) -> str:
    """The JSON document of a run: its state, times, links, and its progress, result or error."""
    links = {"self": f"/v1/runs/{run.run_id}", "events": f"/v1/runs/{run.run_id}/events"}
    if not run.has_ended:
        links["cancel"] = links["self"]
    members: dict[str, Any] = {"id": run.run_id, "task": run.task, "state": run.state.shown}
    if run.error:
        members["error"] = run.error
    members |= {"timestamps": run.timestamps, "links": links}
    if not run.members:
        members["task_id"] = run.call_id  # by which workers and monitors know it
    return to_json_object(members, progress=run.progress, result=run.result)


def shown_events(run: Run, events: list[RunEvent]) -> list[RunEvent]:
    """The events as clients see them: ``result``, which stands for the whole run, gets the run's document."""
    return [_shown(run, event) for event in events]


def _shown(run: Run, event: RunEvent) -> RunEvent:
    return RunEvent(event.number, event.name, run_document(run)) if event.name == "result" else event
