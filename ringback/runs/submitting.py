"""How a run goes through the switchboard: as one call, or as a canvas of calls. On the loop's greenlet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from celery import Celery, states

from ringback.calls import Call, Switchboard, Watch
from ringback.errors import BadArguments, NoResult, TaskFailed
from ringback.runs.canvas import Canvas, Member, Results, TaskCall, members_of
from ringback.runs.json_text import to_json
from ringback.runs.run import LONGEST_PROGRESS, Run
from ringback.runs.states import Event
from ringback.runs.submission import Submission

logger = logging.getLogger(__name__)


async def submit_call(
    run: Run, switchboard: Switchboard, lifetime: float, submission: Submission | None = None, exists: bool = True
) -> asyncio.Future[Any]:
    """Wait for the result of a run, which is published first if there is a submission; returns its outcome.

    :param exists: whether the task is known to exist, so that a template of its messages may be kept.
    :raises RingbackError: it was not made.
    """
    watch = Watch(run.call_id, partial(_on_update, run), partial(run.apply, Event.CONFIRMED))
    if submission is not None:
        _attribute(watch, submission, submission.call)
    publish = partial(_send, switchboard.app, submission, run.call_id, exists) if submission is not None else None
    # A run that its caller wants dropped may go silently; of any other a worker must report that it has expired.
    dropped = submission is not None and submission.cancel_after is not None
    [call] = await switchboard.submit([watch], lifetime, publish, reports_expiry=not dropped)
    assert call.future is not None
    return call.future


def _attribute(watch: Watch, submission: Submission, call: TaskCall) -> None:
    """Say whose a call is, how long a client waits for it, and when it is due."""
    watch.tenant, watch.patience = submission.tenant, submission.patience
    if delay := call.delay:
        watch.due = time.monotonic() + delay


def _send(app: Celery, submission: Submission, call_id: str, exists: bool) -> None:
    call = submission.call
    options = {**call.options, "task_id": call_id, "serializer": "json", "headers": call.headers or None}
    if submission.cancel_after is not None:
        options.setdefault("expires", submission.cancel_after)
    if not exists:
        options["retries"] = 0  # as Celery has it, but given, which is so unusual that the message has no template
    task = app.tasks.get(call.task)
    if task is not None:
        task.apply_async(call.args, call.kwargs, **options)
    else:
        app.send_task(call.task, call.args, call.kwargs, **options)


def _on_update(run: Run, meta: Mapping[str, Any]) -> None:
    if meta["status"] == states.STARTED:
        run.apply(Event.STARTED)
    elif meta["status"] == states.RETRY:
        run.apply(Event.RETRIED)
    elif meta["status"] != states.PENDING:
        _report(run, meta.get("result"))


def _report(run: Run, progress: Any) -> None:
    try:
        run.report(progress)
    except ValueError as error:
        logger.warning("the progress of task %s is dropped: %s", run.run_id, error)


async def submit_canvas(
    run: Run, switchboard: Switchboard, lifetime: float, submission: Submission, canvas: Canvas
) -> asyncio.Future[Any]:
    """Publish a run of a canvas, and tell the run of its members.

    :param lifetime: seconds after which its members are not waited for any more.
    :returns: its outcome: the result, or the error of the first member that failed.
    :raises RingbackError: it was not made.
    """
    members = list(members_of(canvas))
    run.members = [member.call_id for member in members]
    confirm = partial(run.apply, Event.CONFIRMED)
    watches = [
        Watch(member.call_id, partial(_on_member_update, run, number, member), confirm)
        for number, member in enumerate(members)
    ]
    for watch, member in zip(watches, members, strict=True):
        _attribute(watch, submission, member.call)
    # On a greenlet, since Celery's chords make a round trip to Redis first.
    calls = await switchboard.submit(watches, lifetime, partial(_apply, canvas, switchboard.app), in_greenlet=True)
    results = {
        member.call_id: partial(_member_outcome, run, number, member, call)
        for number, (member, call) in enumerate(zip(members, calls, strict=True))
    }
    return asyncio.create_task(_outcome(canvas, calls, results))


def _apply(canvas: Canvas, app: Celery) -> None:
    try:
        canvas.signature(app).apply_async()
    except NotImplementedError as error:
        raise BadArguments("chords need results in Redis: set RESULT_BACKEND=redis://…") from error


async def _outcome(canvas: Canvas, calls: list[Call], results: Results) -> Any:
    try:
        return await canvas.outcome(results)
    finally:
        for call in calls:  # those that will never run, after a failure
            call.abandon(NoResult("the canvas has ended", call.id))


def _on_member_update(run: Run, number: int, member: Member, meta: dict[str, Any]) -> None:
    if meta["status"] == states.STARTED:
        run.apply(Event.STARTED)
        _emit(run, number, member, states.STARTED)
    else:
        _emit(run, number, member, meta["status"], progress=meta.get("result"))


async def _member_outcome(run: Run, number: int, member: Member, call: Call) -> Any:
    """Wait for the result of a member. One that did not run, after a failure in its chain, is not waited for.

    For such a member, too, Celery sends a reply with the failure (``Backend.mark_as_failure``).
    """
    assert call.future is not None
    try:
        result = await call.future
    except TaskFailed as error:
        _emit(run, number, member, states.FAILURE, error=error.problem())
        raise
    _emit(run, number, member, states.SUCCESS, result=result)
    return result


def _emit(run: Run, number: int, member: Member, state: str, **more: Any) -> None:
    if run.has_ended:
        return
    document = {"member": number, "id": member.call_id, "task": member.call.task, "state": state}
    try:
        text = to_json({**document, **more})
    except ValueError:  # if it is the result, the client is told at the end
        text = to_json(document)
    run.emit("member", text if len(text) <= LONGEST_PROGRESS else to_json(document))
