"""``/v1/runs/{id}/events``: a run followed as it goes, by server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import re
from contextlib import suppress

from tornado.iostream import StreamClosedError

from ringback.api.handler import ApiHandler
from ringback.errors import BadRequest, ClientGone
from ringback.runs.run import Event, Run

#: Seconds between two signs of life on a silent stream: less than any proxy's idle time-out.
HEARTBEAT = 10.0


class Events(ApiHandler):
    """The events of one run."""

    async def get(self, id: str) -> None:
        """All of them, or those after ``Last-Event-ID``, until the run ends."""
        run = await self.find(id)
        last = self._last_seen()
        if run.closed and not run.has_events_after(last):
            self.set_status(204)  # which tells an EventSource not to come back
            return
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep the events back
        with suppress(ClientGone, StreamClosedError):
            await self._follow(run, last)

    async def _follow(self, run: Run, last: int) -> None:
        while events := await self._events_after(run, last):
            for event in events:
                self.write(f"id: {event.number}\nevent: {event.name}\ndata: {event.data}\n\n")
                last = event.number
            await self.flush()  # waits for a client that reads slowly

    async def _events_after(self, run: Run, last: int) -> list[Event]:
        """The next events, as soon as there are any; none when the run has ended."""
        while not await self.wait(lambda: run.closed or run.has_events_after(last), HEARTBEAT):
            self.write(": still there\n\n")
            await self.flush()
        return run.events_after(last)

    def _last_seen(self) -> int:
        text = self.request.headers.get("Last-Event-ID", "")
        if not re.fullmatch("[0-9]{0,9}", text):
            raise BadRequest(f"Last-Event-ID: {text!r} is not of this stream")
        return int(text or 0)
