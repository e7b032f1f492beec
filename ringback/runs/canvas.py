"""What a run is made of: one call, or a chain, group or chord of calls. Pure, but for Celery's signatures.

The ids of all members are chosen before anything is published, so that none of their replies is missed, whichever
worker sends them on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import celery
from celery import Celery
from celery.canvas import Signature


@dataclass
class TaskCall:
    """One call of a task, checked."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)  #: for Celery's ``apply_async``
    headers: dict[str, str] = field(default_factory=dict)  #: of the message

    @property
    def delay(self) -> float:
        """Seconds before which no worker may start it."""
        eta = self.options.get("eta")
        if eta is not None:
            return max(0.0, float((eta - datetime.now(timezone.utc)).total_seconds()))
        return float(self.options.get("countdown") or 0)


@dataclass
class Member:
    """One task of a canvas."""

    call: TaskCall
    call_id: str

    def signature(self, app: Celery) -> Signature:
        """Make Celery's signature of it."""
        options = {**self.call.options, "task_id": self.call_id, "serializer": "json"}
        if self.call.headers:
            options["headers"] = dict(self.call.headers)
        return app.signature(self.call.task, self.call.args, self.call.kwargs, options=options)

    async def outcome(self, results: Results) -> Any:
        """Wait for the result of the call."""
        return await results[self.call_id]()


@dataclass
class Chain:
    """Calls one after the other; each gets the result of the one before."""

    steps: list[Step]

    def signature(self, app: Celery) -> Signature:
        """Make Celery's signature of it."""
        return celery.chain(*(step.signature(app) for step in self.steps), app=app)

    async def outcome(self, results: Results) -> Any:
        """Wait for the result of the last step; after a failure the remaining steps do not run."""
        for step in self.steps:
            result = await step.outcome(results)
        return result


@dataclass
class Group:
    """Calls that run at once."""

    steps: list[Step]

    def signature(self, app: Celery) -> Signature:
        """Make Celery's signature of it."""
        return celery.group([step.signature(app) for step in self.steps], app=app)

    async def outcome(self, results: Results) -> Any:
        """Wait for the results of all steps."""
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
        """Make Celery's signature of it."""
        return celery.chord(self.header.signature(app), self.body.signature(app), app=app)

    async def outcome(self, results: Results) -> Any:
        """Wait for the result of the body."""
        await self.header.outcome(results)
        return await self.body.outcome(results)


Canvas = Chain | Group | Chord
Step = Member | Canvas
Results = Mapping[str, Callable[[], Awaitable[Any]]]  #: by call id: waits for its result


def members_of(step: Step) -> Iterator[Member]:
    """All tasks of a canvas, in the order in which they were written."""
    if isinstance(step, Member):
        yield step
        return
    for part in (step.header, step.body) if isinstance(step, Chord) else step.steps:
        yield from members_of(part)
