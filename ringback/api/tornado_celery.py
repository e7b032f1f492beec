"""The routes of tornado-celery, field by field, so that its users can move by changing a host name.

What it did wrong is not kept: an unknown id is 404, not ``PENDING`` for ever, and a result may be ``0`` or ``null``.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from ringback.api.handler import read_json
from ringback.api.tasks import CallBody, Calls, Options, Seconds
from ringback.errors import DeadlineExceeded
from ringback.runs.run import EXPIRED, FAILURE, FINAL, PROGRESS, REVOKED, STARTED, SUCCESS, Run

#: Our states by the names that Celery's clients know; the others are all PENDING.
CELERY_STATES = {**{state: state for state in (STARTED, PROGRESS, SUCCESS, FAILURE, REVOKED)}, EXPIRED: REVOKED}


class ApplyBody(Options):
    """The body of a call, with the options beside the arguments."""

    args: list[Any] = Field(default=[])
    kwargs: dict[str, Any] = Field(default={})
    timeout: Seconds | None = None


class TaskNames(Calls):
    """``GET /``."""

    def get(self) -> None:
        """The names of the tasks."""
        self.write("Tasks: " + ", ".join(task.name for task in self.gateway.tasks.all(self.caller)))


class ApplyAsync(Calls):
    """``POST /apply-async/<task>/``."""

    async def post(self, name: str) -> None:
        """Call a task, and tell its id as soon as the broker has it."""
        run = await self.apply(name)
        await self.wait(lambda: run.made, 2 * self.gateway.settings.publish_timeout)
        if run.refusal is not None:
            raise run.refusal
        run.detach()
        await self.gateway.runs.told(run)
        self.answer(json.dumps({"task-id": run.id, "state": state(run)}))

    async def apply(self, name: str) -> Run:
        """The run that the request asks for.

        :raises RingbackError: it was not made.
        """
        task = self.gateway.tasks.find(self.caller, name)
        # Any media type: its users post with curl -d. That no page of another origin does is checked already.
        body = read_json(self.request.body, ApplyBody)
        options = Options(**body.model_dump(include=set(Options.model_fields)))
        call = CallBody(args=body.args, kwargs=body.kwargs, options=options)
        self.gateway.access.spend(self.caller)
        run, _ = await self.make(self.order(task, call, cancel_after=body.timeout or None))
        return run


class Apply(ApplyAsync):
    """``POST /apply/<task>/``."""

    async def post(self, name: str) -> None:
        """Call a task, and answer when it has ended.

        :raises DeadlineExceeded: it has not, within the longest time that this process holds a request.
        """
        run = await self.apply(name)
        await self.wait(lambda: run.closed, self.gateway.settings.deadline - self.age)
        if run.refusal is not None:
            raise run.refusal
        if run.state not in FINAL:
            run.detach()
            raise DeadlineExceeded(f"the task goes on; ask for /tasks/result/{run.id}/", run.id)
        self.answer(document(run))


class TaskResult(Calls):
    """``GET /tasks/result/<id>/``."""

    async def get(self, id: str) -> None:
        """The state of a run, and what came of it."""
        run = await self.find(id)
        self.answer(document(run))


class RevokeTask(Calls):
    """``DELETE /tasks/revoke/<id>/``."""

    async def delete(self, id: str) -> None:
        """Have a run dropped, unless it is running."""
        self.gateway.runs.cancel(await self.find(id))
        self.answer(json.dumps({"task-id": id}))


def state(run: Run) -> str:
    """Its state, as Celery calls it."""
    return CELERY_STATES.get(run.state, "PENDING")


def document(run: Run) -> str:
    """What tornado-celery tells of a run."""
    members: dict[str, Any] = {"task-id": run.id, "state": state(run)}
    if run.state == FAILURE and run.error is not None:
        members |= {"error": run.error["detail"], "traceback": run.error.get("traceback")}
    text = json.dumps(members)
    return f'{text[:-1]}, "result": {run.result}}}' if run.state == SUCCESS else text
