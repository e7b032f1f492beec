"""One run of a task: its states, its events, its outcome, and who waits for it. The loop's alone, and no I/O.

A run goes forward only, from ``ACCEPTED`` to one of the final states; what comes late changes nothing. The one step
back is a task that retries, which is queued again.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ringback.errors import RingbackError
from ringback.json_text import to_json

ACCEPTED = "ACCEPTED"  #: the message is in the outbox
QUEUED = "QUEUED"  #: the broker has confirmed it
STARTED = "STARTED"  #: a worker has begun, and tells so (``track_started``)
PROGRESS = "PROGRESS"  #: the task has told something by ``update_state``
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVOKED = "REVOKED"
EXPIRED = "EXPIRED"

FINAL = frozenset({SUCCESS, FAILURE, REVOKED, EXPIRED})
RANK = {ACCEPTED: 0, QUEUED: 1, STARTED: 2, PROGRESS: 3, **dict.fromkeys(FINAL, 4)}

#: What only a worker can tell: the broker had the message, even if its confirm is still under way.
PROOF_OF_QUEUE = frozenset({STARTED, SUCCESS})

#: What another process is told of a run.
RECORDED = (
    "id",
    "task",
    "caller",
    "fingerprint",
    "state",
    "timestamps",
    "progress",
    "result",
    "error",
    "closed",
    "detached",
    "members",
)

#: Bytes of a run without what it was given, as measured.
OVERHEAD = 2500

#: Seconds; longer than any run is kept.
FOREVER = 10.0**9

#: So many of a run's last events can be followed again; more would let a talkative task fill the memory.
EVENTS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a run; ``data`` is JSON."""

    number: int
    name: str  #: state, progress, member or result
    data: str


class Run:
    """A run, as this process knows it.

    :param caller: whose run it is; nobody else sees it.
    :param fingerprint: of the request that made it, to tell a repeated request from another one.
    """

    def __init__(self, id: str, task: str, caller: str, fingerprint: str) -> None:
        self.id, self.task, self.caller, self.fingerprint = id, task, caller, fingerprint
        self.state = ACCEPTED
        self.timestamps: dict[str, str] = {}
        self.progress: str | None = None  #: JSON, like the next one
        self.result: str | None = None
        self.error: dict[str, Any] | None = None  #: a problem document
        self.refusal: RingbackError | None = None  #: why it was never made
        self.closed = False  #: nothing will happen to it any more
        self.detached = False  #: somebody was told to come back for it
        self.owned = True  #: by this process, which waits for its result
        self.saved = 0  #: the last event that other processes can see
        self.on_change: Callable[[Run], object] | None = None
        self.audience: set[object] = set()  #: the clients that wait for it, or follow it
        self.members: list[str] = []  #: the tasks that it consists of, if it is no task itself
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._waiters: dict[asyncio.Future[bool], Callable[[], bool]] = {}
        self._enter(ACCEPTED)

    @property
    def made(self) -> bool:
        """Whether the broker has it."""
        return self.state != ACCEPTED or self.closed

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return OVERHEAD + sum(len(event.data) for event in self.events) + len(self.result or "")

    def reach(self, state: str) -> None:
        """It has come to this state; forgotten if it has come further."""
        if not self.closed and RANK[state] > RANK[self.state]:
            self._enter(state)

    def requeue(self) -> None:
        """Its task retries."""
        if not self.closed:
            self._enter(QUEUED)

    def report(self, meta: Any) -> None:
        """Its task has told of its progress."""
        progress = to_json(meta)
        if self.closed:
            return
        if self.state == ACCEPTED:
            self._enter(QUEUED)
        if self.state != PROGRESS:
            self.state = PROGRESS
            self.timestamps["progress"] = now()
        self.progress = progress
        self.emit("progress", progress)

    def succeed(self, result: Any) -> None:
        """It has ended well.

        :raises ValueError: the result is not JSON.
        """
        self.result = to_json(result)
        self._end(SUCCESS)

    def fail(self, state: str, error: RingbackError, traceback: str | None = None) -> None:
        """It has ended in another way."""
        self.error = {**error.problem(), "id": self.id}
        if error.call_id not in (None, self.id):
            self.error["member"] = error.call_id
        if traceback is not None:
            self.error["traceback"] = traceback
        self._end(state)

    def refuse(self, error: RingbackError) -> None:
        """It was not made after all."""
        self.refusal = error
        self.close()

    def close(self) -> None:
        """Nothing more will be heard of it."""
        self.closed = True
        self._changed()

    def detach(self) -> None:
        """Somebody was told to come back for it, so it goes on though nobody waits."""
        if not self.detached:
            self.detached = True
            self._changed()

    def record(self) -> dict[str, Any]:
        """All that another process needs to know of it, except its events."""
        return {name: getattr(self, name) for name in RECORDED}

    def restore(self, record: dict[str, Any], events: list[Event]) -> None:
        """Take what another process has recorded of it."""
        for name in RECORDED:
            setattr(self, name, record[name])
        self.events = deque(events, maxlen=EVENTS_KEPT)
        self.saved = events[-1].number if events else 0
        self.wake()

    def emit(self, name: str, data: str) -> None:
        """Add an event, and wake who waits for one."""
        number = self.events[-1].number + 1 if self.events else 1
        self.events.append(Event(number, name, data))
        self._changed()

    def has_events_after(self, number: int) -> bool:
        """Whether anything came after the event with this number."""
        return self.events[-1].number > number

    def events_after(self, number: int) -> list[Event]:
        """Those of its events that came after the one with this number."""
        new = [event for event in self.events if event.number > number]
        if new and new[-1].name == "result":  # made when asked for: kept, it would be a second copy of the result
            new[-1] = replace(new[-1], data=self.document())
        return new

    async def next_events(self, after: int) -> list[Event]:
        """The events after the one with this number, as soon as there are any; none when the run has ended."""
        await self.wait(lambda: self.closed or self.has_events_after(after), FOREVER)
        return self.events_after(after)

    def document(self) -> str:
        """All that a client is told of it, as JSON."""
        links = {"self": f"/v1/runs/{self.id}", "events": f"/v1/runs/{self.id}/events"}
        if not self.closed:
            links["cancel"] = links["self"]
        members = {"id": self.id, "task": self.task, "state": self.state}
        tail = {"error": self.error} if self.error else {}
        text = json.dumps({**members, **tail, "timestamps": self.timestamps, "links": links})[:-1]
        for name in ("progress", "result"):
            if (value := getattr(self, name)) is not None:
                text += f', "{name}": {value}'
        return text + "}"

    def wait(self, until: Callable[[], bool], seconds: float) -> asyncio.Future[bool]:
        """Whether ``until()`` became true within so many seconds."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        if until():
            waiter.set_result(True)
        else:
            self._waiters[waiter] = until
            timer = loop.call_later(max(seconds, 0), _resolve, waiter, False)
            waiter.add_done_callback(functools.partial(self._dismiss, timer))
        return waiter

    def _dismiss(self, timer: asyncio.TimerHandle, waiter: asyncio.Future[bool]) -> None:
        timer.cancel()
        self._waiters.pop(waiter, None)

    def _enter(self, state: str) -> None:
        if self.state == ACCEPTED and state in PROOF_OF_QUEUE and "queued" not in self.timestamps:
            self._enter(QUEUED)
        self.state = state
        self.timestamps[state.lower()] = now()
        if state not in FINAL:
            self.emit("state", f'{{"state": "{state}", "at": "{self.timestamps[state.lower()]}"}}')

    def _end(self, state: str) -> None:
        self._enter(state)
        self.closed = True
        self.emit("result", "")

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self)
        self.wake()

    def wake(self) -> None:
        """Look whether what anybody waits for has come true."""
        for waiter, until in list(self._waiters.items()):
            if until():
                _resolve(waiter, True)


def _resolve(waiter: asyncio.Future[bool], value: bool) -> None:
    if not waiter.done():
        waiter.set_result(value)


def now() -> str:
    """This moment, as RFC 3339 has it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
