"""``/v1/tasks``: the list of tasks, and a call of one of them, held until it ends."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ringback.api.documents import run_document
from ringback.api.handler import ApiHandler, read_seconds
from ringback.api.task_catalogue import KnownTask
from ringback.errors import BadArguments, BadRequest, UnreadableReply
from ringback.runs import Run, State, Submission, TaskCall
from ringback.web import matches

#: Seconds after which a client that polls may ask again.
RETRY_AFTER = "1"

Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]

#: The first and the last moment that has a date in every time zone. Celery's worker (``worker/strategy.py``) converts
#: an ``eta`` to its own zone; if that overflows, it logs a traceback and runs the task at once.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=timezone.utc), datetime(9999, 12, 29, tzinfo=timezone.utc)


def _within_reach(moment: datetime) -> datetime:
    return max(EARLIEST, min(moment, LATEST))


Moment = Annotated[AwareDatetime, AfterValidator(_within_reach)]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: In JSON 3.0 is an integer, too (JSON Schema, 6.1.1).
Priority = Annotated[int, Field(ge=0, le=255), BeforeValidator(_whole)]


class Options(BaseModel):
    """The options of Celery's ``apply_async`` that a caller may set."""

    model_config = ConfigDict(extra="forbid")
    queue: str | None = None
    priority: Priority | None = None
    countdown: Seconds | None = None
    eta: Moment | None = None
    expires: Seconds | Moment | None = None


class CallBody(BaseModel):
    """The body of a call."""

    model_config = ConfigDict(extra="forbid")
    # Pydantic deep-copies a plain default for each body, and does not put a default factory into the schema.
    args: list[Any] = Field(default_factory=list, json_schema_extra={"default": []})
    kwargs: dict[str, Any] = Field(default_factory=dict, json_schema_extra={"default": {}})
    options: Options = Field(default_factory=Options, json_schema_extra={"default": {}})


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
        for preference in ",".join(self.request.headers.get_list("Prefer")).split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
        return found

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

    def call(self, task: KnownTask, body: CallBody, before: int = 0) -> TaskCall:
        """Check a call of a task.

        :param before: so many arguments come before those of the body.
        :raises BadArguments: the arguments do not fit the task, or there is no such queue.
        """
        task.check(body.args, body.kwargs, before)
        given = ((name, getattr(body.options, name)) for name in Options.model_fields)
        options = {name: value for name, value in given if value is not None}
        queue = options.get("queue")
        if queue is not None and queue not in self.gateway.switchboard.queue_names:
            raise BadArguments(f"there is no queue {queue!r}; RINGBACK_QUEUES names those beside the app's own")
        return TaskCall(task.name, body.args, body.kwargs, options, self.trace())

    async def hold(self, submission: Submission) -> None:
        """Start a run, and answer with its result, or with the address where it can be found.

        :raises TooManyCalls: the caller calls too often.
        :raises RingbackError: no run was started.
        """
        self.gateway.rate.spend(self.caller.name)
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
        limit, wait = self.gateway.settings.deadline, self.preferences.get("wait", "")
        if re.fullmatch(r"[0-9]{1,9}", wait):
            limit = min(limit, float(wait))
            self.set_header("Preference-Applied", f"wait={limit:g}")
        elif "respond-async" in self.preferences:
            limit = 0
            self.set_header("Preference-Applied", "respond-async")
        if limit:
            await self.wait(lambda: run.has_ended, limit - self.age)
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


class OneTask(Calls):
    """Answers ``/v1/tasks/{name}``, one task."""

    def get(self, name: str) -> None:
        """Answer with what the task takes."""
        self.answer(json.dumps(self.gateway.tasks.find(self.caller, name).description))

    async def post(self, name: str) -> None:
        """Call the task, and hold the request until it has ended."""
        task = self.gateway.tasks.find(self.caller, name)
        call = self.call(task, self.body(CallBody))
        await self.hold(Submission(self.caller.name, call, key=self.key(), cancel_after=self.cancel_after()))
