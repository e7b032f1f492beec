"""``POST /v1/canvas``: chains, groups and chords of tasks, as one run."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, RootModel

from ringback.api.tasks import CallBody, Calls
from ringback.errors import BadArguments
from ringback.runs import Chain, Chord, Group, Member, Step, Submission, TaskCall, members_of

#: The most tasks of one canvas.
MOST = 1000


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
        """Run a canvas, and answer with the result of its last task, or with the results of all."""
        body = self.body(CanvasBody).root
        tree = self._build(body, 0)
        assert not isinstance(tree, Member)
        if len(list(members_of(tree))) > MOST:
            raise BadArguments(f"a canvas has up to {MOST} tasks")
        (kind,) = body.model_fields_set
        call = TaskCall(kind, [json.loads(self.request.body)], {})
        key, cancel_after = self.key(), self.cancel_after()
        await self.hold(Submission(self.caller.name, call, key=key, cancel_after=cancel_after, canvas=tree))

    def _build(self, step: AnyStep, before: int) -> Step:
        """Build the tree of checked calls.

        :param before: how many arguments a step gets from the one before it.
        """
        if isinstance(step, CallStep):
            return self._member(step, before)
        if isinstance(step, GroupStep):
            return Group([self._build(member, before) for member in step.group])
        if isinstance(step, ChordStep):
            header = Group([self._build(member, before) for member in step.chord.header])
            return Chord(header, self._build(step.chord.body, 1))
        first, *rest = step.chain
        return Chain([self._build(first, before), *(self._build(later, 1) for later in rest)])

    def _member(self, step: CallStep, before: int) -> Member:
        task = self.gateway.tasks.find(self.caller, step.task)
        if task.ignores_result:
            raise BadArguments(f"{step.task} ignores its result, so nothing can wait for it")
        return Member(self.call(task, step, before), str(uuid4()))
