"""``/v1/tasks``: the list of tasks, and a call of one of them, held until it ends."""

from __future__ import annotations

import asyncio
import json
import re
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ringback.api.arguments import shorten
from ringback.api.call_body import CallBody, Options, check_delay
from ringback.api.documents import run_document
from ringback.api.handler import ApiHandler, read_seconds
from ringback.api.json_body import LARGE
from ringback.api.task_catalogue import KnownTask
from ringback.api.typed_json import refuse_typed_json
from ringback.errors import BadArguments, BadRequest, UnreadableReply
from ringback.runs import Run, State, Submission, TaskCall
from ringback.web import matches

#: Seconds after which a client that polls may ask again.
RETRY_AFTER = "1"

#: The most preferences that are looked at.
MOST_PREFERENCES = 100


class HttpAnswer(BaseModel):
    """The result of a task that sets its own HTTP answer."""

    model_config = ConfigDict(extra="forbid")
    status: Annotated[int, Field(ge=200, le=599)] = 200
    headers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")]
    ] = {}
    body: Any = ""


class Tasks(ApiHandler):
    """Answers ``GET /v1/tasks``, the tasks that the caller may call."""

    def get(self) -> None:
        """Answer with the list of these tasks."""
        tasks = [task.description for task in self.gateway.tasks.all(self.caller)]
        self.answer(json.dumps({"tasks": tasks}))


class Calls(ApiHandler):
    """A request that calls tasks."""

    @cached_property
    def preferences(self) -> dict[str, str]:
        """The client's preferences (RFC 7240, 2); of a preference that is given twice the first one counts."""
        found: dict[str, str] = {}
        given = ",".join(self.request.headers.get_list("Prefer")).split(",", MOST_PREFERENCES)
        for preference in given[:MOST_PREFERENCES]:
            name, _, value = preference.partition(";")[0].partition("=")
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
        return found

    @cached_property
    def patience(self) -> tuple[float, str]:
        """The seconds that the client waits for the end of its run, and the preference that says so, if one does."""
        seconds, wait = self.gateway.settings.deadline, self.preferences.get("wait", "")
        if re.fullmatch(r"[0-9]{1,9}", wait):
            seconds = min(seconds, float(wait))
            return seconds, f"wait={seconds:g}"
        return (0.0, "respond-async") if "respond-async" in self.preferences else (seconds, "")

    def cancel_after(self) -> float | None:
        """Read the header ``Cancel-After``: the seconds after which the run is dropped.

        :raises BadRequest: it is not a number above 0.
        """
        text = self.header("Cancel-After")
        if text is None:
            return None
        seconds = read_seconds("Cancel-After", text)
        if not seconds:
            raise BadRequest("Cancel-After: 0 is no time to run in")
        return seconds

    def key(self) -> str | None:
        """Read the header ``Idempotency-Key``.

        :raises BadRequest: it is empty, or too long.
        """
        key = self.header("Idempotency-Key")
        if key is None:
            return None
        key = key.strip().strip('"')  # a string of RFC 9651, or bare as most clients send it
        if not 0 < len(key) <= 255:
            raise BadRequest("Idempotency-Key: from 1 to 255 characters")
        return key

    async def check(self, task: KnownTask, body: CallBody, text: bytes) -> TaskCall:
        """Check a call of a task. If it is large, other requests get their turn before and after that.

        :param text: the JSON that the body was read from.
        :raises BadArguments: the call cannot be made.
        """
        await give_way(text)
        self.refuse_typed_json(text, [body.args, body.kwargs])
        call = self.call(task, body)
        await give_way(text)
        return call

    def refuse_typed_json(self, text: bytes, value: Any) -> None:
        """Refuse what has kombu's typed JSON in it, unless RINGBACK_TYPED_JSON allows that.

        :param text: the JSON that the value was read from.
        :raises BadArguments: it has.
        """
        if not self.gateway.settings.typed_json:
            refuse_typed_json(text, value)

    def call(self, task: KnownTask, body: CallBody, before: int = 0) -> TaskCall:
        """Check a call of a task, but for typed JSON.

        :param before: so many arguments come before those of the body.
        :raises BadArguments: the arguments do not fit the task, there is no such queue, or it is too late.
        """
        task.check(body.args, body.kwargs, before)
        given = ((name, getattr(body.options, name)) for name in Options.model_fields)
        options = {name: value for name, value in given if value is not None}
        queue = options.get("queue")
        if queue is not None and queue not in self.gateway.switchboard.queue_names:
            why = f"there is no queue {queue!r}; RINGBACK_QUEUES names those beside the app's own"
            raise BadArguments(shorten(why))
        check_delay(body.options, self.gateway.settings.max_delay)
        return TaskCall(task.name, body.args, body.kwargs, options, self.trace())

    def submission(self, call: TaskCall, **more: Any) -> Submission:
        """Make the submission of a call by this request's caller."""
        return Submission(self.caller.name, call, tenant=self.tenant, **more)

    async def hold(self, submission: Submission) -> None:
        """Start a run, and answer with its result, or with the address where it can be found.

        :raises RingbackError: no run was started.
        """
        seconds, _ = self.patience
        submission.patience = self.left(seconds) if seconds else None
        run, repeated = await self.submit(submission)
        if repeated and run.has_ended:
            self.set_header("Idempotent-Replayed", "true")
        await self.wait_as_preferred(run)
        if run.error is not None:
            self.answer_with_problem(run.error)
        elif run.state is State.SUCCESS:
            self.answer_with_result(run)
        else:
            await self.answer_later(run)

    async def wait_as_preferred(self, run: Run) -> None:
        """Wait for the run's end, for as long as the client prefers and the setting allows.

        A client that does not want to wait waits for the broker's confirm all the same: what a 202 names is not lost.
        """
        seconds, applied = self.patience
        if applied:
            self.set_header("Preference-Applied", applied)
        if seconds:
            await self.wait(lambda: run.has_ended, self.left(seconds))
        else:
            await self.wait(lambda: run.is_queued, 2 * self.gateway.settings.publish_timeout)

    def answer_with_result(self, run: Run) -> None:
        """Answer 200 with the run, or as the task says if it sets its own answer."""
        if not matches(run.task, self.gateway.settings.http_answers):
            self.answer(run_document(run))
            return
        try:
            answer = HttpAnswer.model_validate_json(run.result or "", strict=True)
        except ValidationError as error:
            why = f"the result of {run.task} is to be an HTTP answer, and is not: {error.errors()[0]['msg']}"
            raise UnreadableReply(why, run.run_id) from error
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.set_status(answer.status)
        self.finish(answer.body if isinstance(answer.body, str) else json.dumps(answer.body))

    async def answer_later(self, run: Run) -> None:
        """Answer 202: the run goes on, and Location says where it can be found (RFC 9110, 15.3.3)."""
        run.detach()
        await self.gateway.runs.replicated(run)
        self.set_header("Location", f"/v1/runs/{run.run_id}")
        self.set_header("Retry-After", RETRY_AFTER)
        self.answer(run_document(run), 202)


async def give_way(text: bytes) -> None:
    """Let other requests have their turn, if what was read from this JSON may take some milliseconds to go through."""
    if len(text) > LARGE:
        await asyncio.sleep(0)


class OneTask(Calls):
    """Answers ``/v1/tasks/{name}``, one task."""

    def get(self, name: str) -> None:
        """Answer with what the task takes."""
        self.answer(json.dumps(self.gateway.tasks.find(self.caller, name).description))

    async def post(self, name: str) -> None:
        """Call the task, and hold the request until it has ended.

        :raises TooManyCalls: the caller calls too often; a call that is refused counts, too.
        """
        key, cancel_after = self.key(), self.cancel_after()
        self.gateway.rate.spend(self.caller.name)
        task = self.gateway.tasks.find(self.caller, name)
        call = await self.check(task, self.body(CallBody), self.request.body)
        await self.hold(self.submission(call, key=key, cancel_after=cancel_after))
