"""``/v1/runs/{id}``: one run, to be polled, started under the caller's own id, or cancelled."""

from __future__ import annotations

import re

from ringback.api.call_body import CallBody
from ringback.api.documents import run_document
from ringback.api.handler import read_seconds
from ringback.api.tasks import Calls
from ringback.errors import BadRequest

#: The ids that a caller may choose: the unreserved characters of RFC 3986, so that an id is its own path.
ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")


class RunBody(CallBody):
    """The body of a call that does not name its task in the path."""

    task: str


class OneRun(Calls):
    """Answers ``/v1/runs/{id}``, one run."""

    async def get(self, run_id: str) -> None:
        """Answer with its state, and its result if it has ended; ``?wait=N`` waits up to N seconds for its end."""
        seconds = read_seconds("wait", self.get_query_argument("wait", "0"))
        self.gateway.check_polls(self.tenant)
        run = await self.find(run_id)
        if seconds and not run.has_ended:
            self.stay_open()
        await self.wait(lambda: run.has_ended, min(seconds, self.gateway.settings.deadline))
        if run.has_ended:
            self.answer(run_document(run))
        else:
            await self.answer_later(run)

    async def put(self, run_id: str) -> None:
        """Start it, unless it exists."""
        if not ID.fullmatch(run_id):
            raise BadRequest("an id has up to 128 letters, digits and -._~")
        cancel_after = self.cancel_after()
        self.gateway.rate.spend(self.caller.name)
        body = self.body(RunBody)
        task = self.gateway.tasks.find(self.caller, body.task)
        call = await self.check(task, body, self.request.body)
        await self.hold(self.submission(call, chosen_id=run_id, cancel_after=cancel_after))

    async def delete(self, run_id: str) -> None:
        """Cancel it; ``?terminate=true`` stops it even if it is running, ``?forget=true`` erases all that is kept."""
        terminate, forget = self._flag("terminate"), self._flag("forget")
        self.gateway.check_polls(self.tenant)
        run = await self.find(run_id)
        self.audited = {"event": "erase" if forget else "cancel", "task": run.task, "run": run_id}
        if terminate:
            self.gateway.check_terminate(run)
        self.gateway.runs.cancel(run, terminate)
        if forget:
            await self.gateway.runs.erase(run)
            self.set_status(204)
            return
        await self.wait(lambda: run.has_ended, 0)
        self.answer(run_document(run), 200 if run.has_ended else 202)

    def _flag(self, name: str) -> bool:
        """Read a parameter of the query that is true or false."""
        value = self.get_query_argument(name, "false")
        if value not in ("true", "false"):
            raise BadRequest(f"{name}: true or false")
        return value == "true"
