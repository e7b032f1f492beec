"""The routes of tornado-celery, field by field, so that its users can move by changing a host name.

Its faults are not kept: an unknown id is 404, not ``PENDING`` for ever, and a result may be ``0`` or ``null``.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from ringback.api.call_body import CallBody, Options, Seconds
from ringback.api.json_body import read_json
from ringback.api.tasks import Calls
from ringback.errors import DeadlineExceeded
from ringback.runs import Run, State, to_json_object

#: Our states by the names that Celery's clients know; the others are all PENDING.
CELERY_STATES = {
    **{state: state.value for state in (State.STARTED, State.PROGRESS, State.SUCCESS, State.FAILURE, State.REVOKED)},
    State.EXPIRED: "REVOKED",
}


class ApplyBody(Options):
    """The body of a call, with the options beside the arguments."""

    args: list[Any] = Field(default=[])
    kwargs: dict[str, Any] = Field(default={})
    timeout: Seconds | None = None


class TaskNames(Calls):
    """Answers ``GET /``."""

    def get(self) -> None:
        """Answer with the names of the tasks."""
        self.write("Tasks: " + ", ".join(task.name for task in self.gateway.tasks.all(self.caller)))


class ApplyAsync(Calls):
    """Answers ``POST /apply-async/<task>/``."""

    waits = False  #: whether the client waits for the end of its run

    async def post(self, name: str) -> None:
        """Call a task, and answer with its id as soon as the broker has it."""
        run = await self.apply(name)
        await self.wait(lambda: run.is_queued, 2 * self.gateway.settings.publish_timeout)
        run.detach()
        await self.gateway.runs.replicated(run)
        self.answer(json.dumps({"task-id": run.run_id, "state": celery_state(run)}))

    async def apply(self, name: str) -> Run:
        """Start the run that the request asks for.

        :raises RingbackError: it was not started.
        """
        self.gateway.rate.spend(self.caller.name)
        task = self.gateway.tasks.find(self.caller, name)
        # Any media type: its users post with curl -d. Pages of other origins are refused already.
        body = read_json(self.request.body, ApplyBody)
        asked = CallBody.model_construct(args=body.args, kwargs=body.kwargs, options=body)
        call = await self.check(task, asked, self.request.body)
        patience = self.left(self.gateway.settings.deadline) if self.waits else None
        submission = self.submission(call, cancel_after=body.timeout or None, patience=patience)
        run, _ = await self.submit(submission)
        return run


class Apply(ApplyAsync):
    """Answers ``POST /apply/<task>/``."""

    waits = True

    async def post(self, name: str) -> None:
        """Call a task, and answer when it has ended.

        :raises DeadlineExceeded: it has not ended within RINGBACK_DEADLINE.
        """
        run = await self.apply(name)
        await self.wait(lambda: run.has_ended, self.left(self.gateway.settings.deadline))
        if not run.state.is_final:
            run.detach()
            raise DeadlineExceeded(f"the task goes on; ask for /tasks/result/{run.run_id}/", run.run_id)
        self.answer(celery_document(run))


class TaskResult(Calls):
    """Answers ``GET /tasks/result/<id>/``."""

    async def get(self, run_id: str) -> None:
        """Answer with the state of a run, and its result or error."""
        self.gateway.check_polls(self.tenant)
        self.answer(celery_document(await self.find(run_id)))


class RevokeTask(Calls):
    """Answers ``DELETE /tasks/revoke/<id>/``."""

    async def delete(self, run_id: str) -> None:
        """Cancel a run, unless it is running."""
        self.gateway.check_polls(self.tenant)
        run = await self.find(run_id)
        self.audited = {"event": "cancel", "task": run.task, "run": run_id}
        self.gateway.runs.cancel(run)
        self.answer(json.dumps({"task-id": run_id}))


def celery_state(run: Run) -> str:
    """The state of a run, as Celery calls it."""
    state: str = CELERY_STATES.get(run.state, "PENDING")
    return state


def celery_document(run: Run) -> str:
    """A run, as tornado-celery describes it."""
    members: dict[str, Any] = {"task-id": run.run_id, "state": celery_state(run)}
    if run.state is State.FAILURE and run.error is not None:
        members |= {"error": run.error["detail"], "traceback": run.error.get("traceback")}
    return to_json_object(members, result=run.result)
