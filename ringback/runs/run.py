"""One run of a task: its state, events and outcome, and the clients that wait for it. On the loop's greenlet; no I/O.

Which event changes which state is data, in ``states``.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from ringback.errors import RingbackError
from ringback.runs.event_log import EventLog, RunEvent
from ringback.runs.json_text import to_json
from ringback.runs.states import FINAL, PROOF_OF_QUEUE, Event, State, next_state

#: Bytes of a run without its result and events, as measured.
OVERHEAD = 2500

#: Seconds; longer than any run is kept.
FOREVER = 10.0**9

#: The longest progress, as JSON, that is kept and sent on.
LONGEST_PROGRESS = 2**16


class Run:
    """A run, as this process knows it.

    :param run_id: its id, as its caller knows it; each caller has ids of its own.
    :param call_id: the id of its Celery task, which nobody outside chooses, and no other run ever has.
    :param caller: the name of the caller that started it; no other caller sees it.
    :param fingerprint: of the request that started it, to tell a repeated request from another one.
    """

    def __init__(self, run_id: str, call_id: str, task: str, caller: str, fingerprint: str) -> None:
        self.run_id, self.call_id, self.task = run_id, call_id, task
        self.caller, self.fingerprint = caller, fingerprint
        self.state = State.ACCEPTED
        self.timestamps: dict[str, str] = {}
        self.progress: str | None = None  #: JSON, like the next one
        self.result: str | None = None
        self.error: dict[str, Any] | None = None  #: a problem document
        self.detached = False  #: whether a client was told to come back for it
        self.owned = True  #: whether this process waits for its result
        self.replicated = 0  #: the last event that other processes can see
        self.on_change: Callable[[Run], object] | None = None
        self.clients: set[object] = set()  #: the requests that wait for it, or follow it
        self.members: list[str] = []  #: the calls that it consists of, if it is a canvas
        self.erased = False  #: whether its caller wants nothing of it to be kept
        self.events = EventLog()
        self.on_growth: Callable[[str, int], object] | None = None
        self._refusal: RingbackError | None = None
        self._waiters: dict[asyncio.Future[bool], Callable[[], bool]] = {}
        self._note(State.ACCEPTED)

    @property
    def key(self) -> str:
        """What it is known by in this process and in Redis: its caller and its id."""
        return run_key(self.caller, self.run_id)

    @property
    def has_ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return not self.state.is_open

    @property
    def is_queued(self) -> bool:
        """Whether the broker has had it."""
        return self.state is not State.ACCEPTED

    @property
    def calls(self) -> list[str]:
        """The ids of the calls that it consists of."""
        return self.members or [self.call_id]

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        texts = len(self.result or "") + len(self.progress or "")
        return OVERHEAD + self.events.size + texts + (len(to_json(self.error)) if self.error else 0)

    def apply(self, event: Event) -> bool:
        """Apply an event; returns whether it changed anything."""
        state = next_state(self.state, event, self.detached)
        if state is None:
            return False
        if event in PROOF_OF_QUEUE and self.state is State.ACCEPTED:
            self._note(State.QUEUED)
        if state is not State.PROGRESS:
            self._note(state)
        elif self.state is not State.PROGRESS:
            self.timestamps["progress"] = now()
        self.state = state
        return True

    def report(self, meta: Any) -> None:
        """Take the progress that its task has reported.

        :raises ValueError: it is not JSON, or too long.
        """
        progress = to_json(meta)
        if len(progress) > LONGEST_PROGRESS:
            raise ValueError(f"it has {len(progress)} bytes, and {LONGEST_PROGRESS} are the most")
        if self.apply(Event.PROGRESSED):
            self.progress = progress
            self.emit("progress", progress)

    def succeed(self, result: str) -> None:
        """End it with a result, as JSON."""
        if self.apply(Event.SUCCEEDED):
            self.result = result
            self.emit("result", "")

    def fail(self, event: Event, error: RingbackError) -> None:
        """End it with an error.

        :param event: how it ended.
        """
        if not self.apply(event):
            return
        self.error = {**error.problem(), "id": self.run_id}
        if error.call_id not in (None, self.run_id, self.call_id):
            self.error["member"] = error.call_id
        self.emit("result", "")

    def refuse(self, error: RingbackError) -> None:
        """End it because it was not made after all; each client that waits for it gets the error."""
        if self.detached:
            self.fail(Event.REFUSED, error)
        elif self.apply(Event.REFUSED):
            self._refusal = error
            self._changed()

    def release(self, error: RingbackError) -> None:
        """Stop to wait for it here, so that another process can; each client that waits gets the error."""
        self.owned, self.on_change, self._refusal = False, None, error
        for waiter in list(self._waiters):
            self._resolve(waiter, False)

    def end_untracked(self) -> None:
        """End it because its task stores no result."""
        if self.apply(Event.UNTRACKED):
            self._changed()

    def detach(self) -> None:
        """Note that a client was told to come back for it, so that it goes on without one that waits."""
        if not self.detached:
            self.detached = True
            self._changed()

    def emit(self, name: str, data: str) -> None:
        """Add an event, and wake the clients that wait for one."""
        self.events.add(name, data)
        self._changed()

    async def next_events(self, after: int) -> list[RunEvent]:
        """The events after the one with this number, as soon as there are any; none when the run has ended.

        :raises RingbackError: the run was refused.
        """
        await self.wait(lambda: self.has_ended or self.events.last > after, FOREVER)
        return self.events.after(after)

    def wait(self, until: Callable[[], bool], seconds: float) -> asyncio.Future[bool]:
        """Wait for a condition of this run; the future ends with whether it came true within so many seconds.

        The future ends with the refusal if the run is refused.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        if self._refusal is not None or until():
            self._resolve(waiter, True)
        else:
            self._waiters[waiter] = until
            timer = loop.call_later(max(seconds, 0), self._resolve, waiter, False)
            waiter.add_done_callback(functools.partial(self._dismiss, timer))
        return waiter

    def wake(self) -> None:
        """Look whether the conditions that clients wait for have come true."""
        for waiter, until in list(self._waiters.items()):
            if until():
                self._resolve(waiter, True)

    def _resolve(self, waiter: asyncio.Future[bool], value: bool) -> None:
        if waiter.done():
            return
        if self._refusal is not None:
            waiter.set_exception(self._refusal)
        else:
            waiter.set_result(value)

    def _dismiss(self, timer: asyncio.TimerHandle, waiter: asyncio.Future[bool]) -> None:
        timer.cancel()
        self._waiters.pop(waiter, None)

    def _note(self, state: State) -> None:
        """Note the time of a state, and tell those who follow the run."""
        if state in (State.UNTRACKED, State.REFUSED):
            return
        self.state = state
        at = self.timestamps[state.value.lower()] = now()
        if state not in FINAL:
            self.emit("state", f'{{"state": "{state.value}", "at": "{at}"}}')

    def _changed(self) -> None:
        if self.on_growth is not None:
            self.on_growth(self.key, self.size)
        if self.on_change is not None:
            self.on_change(self)
        self.wake()


def now() -> str:
    """This moment, as RFC 3339 has it."""
    seconds, milliseconds = divmod(time.time_ns() // 10**6, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@functools.lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def run_key(caller: str, run_id: str) -> str:
    """The key of a caller's run: the caller's name, which has no slash then, and the id."""
    return f"{_quoted(caller)}/{run_id}"


_quoted = functools.lru_cache(maxsize=1024)(functools.partial(quote, safe=""))
