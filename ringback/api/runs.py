"""``/v1/runs/{id}``: one run, to be polled, made under the caller's own id, or cancelled."""

from __future__ import annotations

import re

from ringback.api.handler import read_seconds
from ringback.api.tasks import CallBody, Calls
from ringback.errors import BadRequest

#: What a caller may choose for an id: the unreserved characters of RFC 3986, so that it is its own path.
ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")


class RunBody(CallBody):
    """The body of a call that does not name its task in the path."""

    task: str


class OneRun(Calls):
    """One run."""

    async def get(self, id: str) -> None:
        """Its state, and its result when it has ended; ``?wait=N`` waits for that, N seconds at most."""
        seconds = read_seconds("wait", self.get_query_argument("wait", "0"))
        run = await self.find(id)
        await self.wait(lambda: run.closed, min(seconds, self.gateway.settings.deadline))
        if run.refusal is not None:
            raise run.refusal
        if run.closed:
            self.answer(run.document())
        else:
            await self.answer_later(run)

    async def put(self, id: str) -> None:
        """Make it, if it is not there."""
        if not ID.fullmatch(id):
            raise BadRequest("an id has up to 128 letters, digits and -._~")
        body = self.body(RunBody)
        task = self.gateway.tasks.find(self.caller, body.task)
        await self.hold(self.order(task, body, id=id, cancel_after=self.cancel_after()))

    async def delete(self, id: str) -> None:
        """Cancel it; ``?terminate=true`` stops it even if it is running."""
        run = await self.find(id)
        terminate = self.get_query_argument("terminate", "false")
        if terminate not in ("true", "false"):
            raise BadRequest("terminate: true or false")
        self.gateway.runs.cancel(run, terminate == "true")
        await self.wait(lambda: run.closed, 0)
        self.answer(run.document(), 200 if run.closed else 202)
