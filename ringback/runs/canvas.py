"""Several tasks as one run: chains, groups and chords, each of whose members is waited for. On the loop's greenlet.

The ids of all members are chosen before anything is published, so that none of their replies is missed, whichever
worker sends them on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import celery
from celery import Celery, states
from celery.canvas import Signature

from ringback.calls.switchboard import Switchboard
from ringback.errors import BadArguments, NoResult, RingbackError, TaskFailed
from ringback.json_text import to_json
from ringback.loop_queue import run_in_greenlet
from ringback.runs.run import QUEUED, STARTED, Run
from ringback.runs.submission import Submission


@dataclass
class Member:
    """One task of a canvas."""

    order: Submission
    id: str

    def signature(self, app: Celery) -> Signature:
        """As Celery's canvas has it."""
        options = {**self.order.options, "task_id": self.id, "serializer": "json"}
        if self.order.headers:
            options["headers"] = dict(self.order.headers)
        return app.signature(self.order.task, self.order.args, self.order.kwargs, options=options)

    async def outcome(self, results: Results) -> Any:
        """Its result."""
        return await results[self.id]


@dataclass
class Chain:
    """One after the other; each gets the result of the one before."""

    steps: list[Step]

    def signature(self, app: Celery) -> Signature:
        """As Celery's canvas has it."""
        return celery.chain(*(step.signature(app) for step in self.steps), app=app)

    async def outcome(self, results: Results) -> Any:
        """The last one's; after a failure the rest does not run."""
        for step in self.steps:
            result = await step.outcome(results)
        return result


@dataclass
class Group:
    """All at once."""

    steps: list[Step]

    def signature(self, app: Celery) -> Signature:
        """As Celery's canvas has it."""
        return celery.group([step.signature(app) for step in self.steps], app=app)

    async def outcome(self, results: Results) -> Any:
        """All of theirs, once all have ended."""
        outcomes = await asyncio.gather(*(step.outcome(results) for step in self.steps), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes


@dataclass
class Chord:
    """A group, and a task that gets the list of its results. Needs a result backend that counts, such as Redis."""

    header: Group
    body: Step

    def signature(self, app: Celery) -> Signature:
        """As Celery's canvas has it."""
        return celery.chord(self.header.signature(app), self.body.signature(app), app=app)

    async def outcome(self, results: Results) -> Any:
        """The body's."""
        await self.header.outcome(results)
        return await self.body.outcome(results)


Step = Member | Chain | Group | Chord
Results = dict[str, "asyncio.Future[Any]"]


def members_of(step: Step) -> Iterator[Member]:
    """All its tasks, in the order in which they were written."""
    if isinstance(step, Member):
        yield step
        return
    for part in (step.header, step.body) if isinstance(step, Chord) else step.steps:
        yield from members_of(part)


async def start(tree: Step, run: Run, switchboard: Switchboard, lifetime: float) -> asyncio.Task[Any]:
    """Have a canvas run, and tell the run of its members.

    :param lifetime: seconds after which its members are not waited for any more.
    :returns: its outcome: the result, or the error of the first member that failed.
    """
    members = list(members_of(tree))
    run.members = [member.id for member in members]
    expected = [
        switchboard.expect(member.id, lifetime, partial(_on_update, run, number, member))
        for number, member in enumerate(members)
    ]
    calls = await asyncio.gather(*expected)
    results = {call.id: call.future for call in calls if call.future is not None}
    for number, member in enumerate(members):
        results[member.id].add_done_callback(partial(_on_end, run, number, member))
    return asyncio.create_task(_see_through(tree, run, switchboard, results))


async def _see_through(tree: Step, run: Run, switchboard: Switchboard, results: Results) -> Any:
    try:
        await _publish(tree, run, switchboard)
        return await tree.outcome(results)
    finally:
        for id in run.members:  # those that will never run, after a failure
            switchboard.settle(id, NoResult("the canvas has ended", id))


async def _publish(tree: Step, run: Run, switchboard: Switchboard) -> None:
    try:
        await run_in_greenlet(switchboard.hop, _apply, tree, run, switchboard)
    except RingbackError:
        for id in run.members:
            switchboard.outbox.withdraw(id)
        raise
    except NotImplementedError as error:
        raise BadArguments("chords need results in Redis: set RESULT_BACKEND=redis://…") from error
    except Exception as error:
        raise BadArguments(str(error)) from error


def _apply(tree: Step, run: Run, switchboard: Switchboard) -> None:
    """On a greenlet, since Celery's chords make a round trip to Redis first."""
    tree.signature(switchboard.app).apply_async()
    for id in run.members:
        message = switchboard.outbox.find(id)
        if message is not None:
            message.on_confirmed = partial(switchboard.hop.post, run.reach, QUEUED)


def _on_update(run: Run, number: int, member: Member, meta: dict[str, Any]) -> None:
    if meta["status"] == states.STARTED:
        run.reach(STARTED)
        _tell(run, number, member, states.STARTED)
    else:
        _tell(run, number, member, meta["status"], progress=meta.get("result"))


def _on_end(run: Run, number: int, member: Member, future: asyncio.Future[Any]) -> None:
    error = future.exception()
    if error is None:
        _tell(run, number, member, states.SUCCESS, result=future.result())
    elif isinstance(error, TaskFailed):
        _tell(run, number, member, states.FAILURE, error=error.problem())


def _tell(run: Run, number: int, member: Member, state: str, **more: Any) -> None:
    if run.closed:
        return
    document = {"member": number, "id": member.id, "task": member.order.task, "state": state}
    try:
        run.emit("member", to_json({**document, **more}))
    except ValueError:  # it is told of at the end, if it is the result
        run.emit("member", to_json(document))
