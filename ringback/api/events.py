"""``/v1/runs/{id}/events``: the events of a run as they happen, as server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import re
from contextlib import suppress

from tornado.iostream import StreamClosedError

from ringback.api.documents import shown_events
from ringback.api.handler import ApiHandler
from ringback.errors import BadRequest, RingbackError
from ringback.runs import Run, RunEvent

#: Seconds between two comments on a silent stream: less than any proxy's idle time-out.
HEARTBEAT = 10.0


class Events(ApiHandler):
    """The events of one run."""

    takes_tickets = True

    async def get(self, run_id: str) -> None:
        """Send all events, or those after ``Last-Event-ID``, until the run ends."""
        self.gateway.check_polls(self.tenant)
        run = await self.find(run_id)
        last = self._last_seen()
        if run.has_ended and run.events.last <= last:
            self.set_status(204)  # which tells an EventSource not to come back
            return
        self.stay_open()
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep the events back
        with suppress(RingbackError, StreamClosedError):  # the client has gone, or the run was refused
            await self._follow(run, last)

    async def _follow(self, run: Run, last: int) -> None:
        while events := await self._events_after(run, last):
            for event in events:
                self.write(f"id: {event.number}\nevent: {event.name}\ndata: {event.data}\n\n")
                last = event.number
            await self.flush()  # waits for a client that reads slowly

    async def _events_after(self, run: Run, last: int) -> list[RunEvent]:
        """Wait for the next events; there are none when the run has ended."""
        while not await self.wait(lambda: run.has_ended or run.events.last > last, HEARTBEAT):
            self.write(": still there\n\n")
            await self.flush()
        return shown_events(run, run.events.after(last))

    def _last_seen(self) -> int:
        text = self.request.headers.get("Last-Event-ID", "")
        if not re.fullmatch("[0-9]{0,9}", text):
            raise BadRequest(f"Last-Event-ID: {text!r} is no event of this stream")
        return int(text or 0)
