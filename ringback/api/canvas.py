"""``POST /v1/canvas``: chains, groups and chords of tasks, as one run.

The models of chains, groups and chords describe them in ``/openapi.json``. A request's body is read by
``canvas_reader``; only its single tasks are validated with a model.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel

from ringback.api.call_body import CallBody
from ringback.api.canvas_reader import MOST, FoundTask, assemble, read_canvas
from ringback.api.json_body import fit, read_value
from ringback.api.tasks import Calls, give_way
from ringback.call_ids import new_call_id
from ringback.errors import BadArguments, RingbackError, TooManyCalls
from ringback.runs import Member, TaskCall

#: Tasks after which other requests get their turn. Each takes some 50 µs to be checked, and a task has 30 bytes.
YIELD_EVERY = 50


class CallStep(CallBody):
    """The call of one task."""

    task: str


class ChainStep(BaseModel):
    """Steps that run one after the other."""

    model_config = ConfigDict(extra="forbid")
    chain: Annotated[list[AnyStep], Field(min_length=1, max_length=MOST)]


class GroupStep(BaseModel):
    """Steps that run at once."""

    model_config = ConfigDict(extra="forbid")
    group: Annotated[list[AnyStep], Field(min_length=1, max_length=MOST)]


class ChordParts(BaseModel):
    """The steps that run at once, and the task that gets their results."""

    model_config = ConfigDict(extra="forbid")
    header: Annotated[list[AnyStep], Field(min_length=1, max_length=MOST)]
    body: CallStep


class ChordStep(BaseModel):
    """A group, and the task that gets its results."""

    model_config = ConfigDict(extra="forbid")
    chord: ChordParts


AnyStep = CallStep | ChainStep | GroupStep | ChordStep


class CanvasBody(RootModel[ChainStep | GroupStep | ChordStep]):
    """The body of the request."""


for model in (ChainStep, GroupStep, ChordParts, ChordStep, CanvasBody):
    model.model_rebuild()


class Canvas(Calls):
    """Answers ``/v1/canvas``."""

    async def post(self) -> None:
        """Run a canvas, and answer with the result of its last task, or with the results of all.

        :raises BadRequest: the body is no canvas.
        :raises BadArguments: it cannot run.
        """
        key, cancel_after = self.key(), self.cancel_after()
        self.gateway.rate.spend(self.caller.name)
        self.require_json()
        document = read_value(self.request.body)
        found = read_canvas(document)
        self._spend_for_all(len(found))
        await give_way(self.request.body)
        self.refuse_typed_json(self.request.body, document)
        members = await self._check_all(found)
        await give_way(self.request.body)
        tree = assemble(document, iter(members))
        assert not isinstance(tree, Member)
        (kind,) = document
        call = TaskCall(kind, [document], {})
        await self.hold(self.submission(call, key=key, cancel_after=cancel_after, canvas=tree))

    def _spend_for_all(self, tasks: int) -> None:
        """Count as many calls as there are tasks, one of which is counted already.

        :raises TooManyCalls: the caller calls too often.
        """
        rate, name = self.gateway.rate, self.caller.name
        rate.spend(name, -1)  # or a full bucket, which is asked for a canvas larger than it, would never be full
        try:
            rate.spend(name, tasks)
        except TooManyCalls:
            rate.spend(name)
            raise

    async def _check_all(self, found: list[FoundTask]) -> list[Member]:
        """Check all tasks of a canvas. Other requests get their turn meanwhile."""
        members = []
        for number, task in enumerate(found, 1):
            try:
                members.append(self._member(task))
            except RingbackError as error:
                raise type(error)(f"{task}: {error.detail}") from error
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return members

    def _member(self, found: FoundTask) -> Member:
        step = fit(found.document, CallStep)
        task = self.gateway.tasks.find(self.caller, step.task)
        if task.ignores_result:
            raise BadArguments(f"{step.task} ignores its result, so nothing can wait for it")
        return Member(self.call(task, step, found.before), new_call_id())
