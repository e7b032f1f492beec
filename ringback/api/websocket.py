"""``/v1/socket``: many calls over one WebSocket, each with its states and its result.

The client sends ``{"id": …, "task": …, "args": […], "kwargs": {…}}``, and gets ``{"id": …, "run": …, "event": …,
"data": …}`` for whatever happens to that run, up to the event ``result``, or one ``error``. ``{"id": …, "cancel":
true}`` drops a run. The id is the client's own and may be used again when its run has ended.

A client that does not read is waited for: of each run one event is under way, and messages that it sends stay unread.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ringback.api.gateway import Gateway
from ringback.api.handler import read_json
from ringback.api.tasks import CallBody, Calls
from ringback.errors import BadRequest, KeyReused, RingbackError, ShuttingDown, TooManyCalls
from ringback.runs.run import Run
from ringback.web.handlers import HeldRequest

#: Runs that one socket may have open; each may have a message under way to a client that does not read.
OPEN_RUNS = 1000

#: "Going Away" (RFC 6455, 7.4.1).
GOING_AWAY = 1001

Id = Annotated[str, Field(min_length=1, max_length=128)]


class Envelope(BaseModel):
    """What every message has."""

    model_config = ConfigDict(extra="allow")
    id: Id
    cancel: bool = False


class SocketCall(CallBody):
    """Call a task."""

    id: Id
    task: str
    key: Annotated[str, Field(min_length=1, max_length=255)] | None = None  #: as Idempotency-Key
    cancel_after: Annotated[float, Field(gt=0, le=10**9)] | None = None  #: as Cancel-After


class SocketCancel(BaseModel):
    """Drop a run."""

    model_config = ConfigDict(extra="forbid")
    id: Id
    cancel: Literal[True]
    terminate: bool = False


class Socket(Calls, WebSocketHandler):
    """One socket."""

    def initialize(self, gateway: Gateway) -> None:
        """Tornado calls this."""
        super().initialize(gateway)
        self._runs: dict[str, Run] = {}  # by the client's id
        self._followers: set[asyncio.Task[None]] = set()
        self._draining = False

    def prepare(self) -> None:
        """As for every request; kept, since Tornado forgets a connection that becomes a WebSocket."""
        super().prepare()
        self._request = HeldRequest.of(self)

    @property
    def is_open(self) -> bool:
        """Whether it waits for a run."""
        return bool(self._runs)

    def check_origin(self, origin: str) -> bool:
        """Whether a page may connect; ``prepare`` has said no already if not."""
        return True

    async def on_message(self, message: str | bytes) -> None:
        """Do what the client asks. Tornado reads the next message when this returns."""
        id = None
        try:
            text = message.encode() if isinstance(message, str) else message
            envelope = read_json(text, Envelope)
            id = envelope.id
            if envelope.cancel:
                self._cancel(read_json(text, SocketCancel))
            else:
                await self._call(read_json(text, SocketCall))
        except RingbackError as error:
            await self._send(id, None, "error", json.dumps(error.problem()))

    def on_drain(self) -> None:
        """The process is about to end: take no more calls, and close when the last run has ended."""
        self._draining = True
        self._close_if_idle()

    def on_close(self) -> None:
        """The client has gone."""
        for follower in self._followers:
            follower.cancel()
        for run in self._runs.values():
            self.gateway.runs.leave(run, self)
            self.gateway.runs.abandon(run)
        self._runs.clear()

    async def _call(self, call: SocketCall) -> None:
        if self._draining:
            raise ShuttingDown("this process is shutting down")
        if call.id in self._runs:
            raise KeyReused(f"the run with the id {call.id!r} has not ended")
        if len(self._runs) >= OPEN_RUNS:
            raise TooManyCalls(f"{OPEN_RUNS} runs are open on this socket")
        task = self.gateway.tasks.find(self.caller, call.task)
        order = self.order(task, call, key=call.key, cancel_after=call.cancel_after)
        self.gateway.access.spend(self.caller)
        run, _ = await self.gateway.runs.make(order, self)
        self._runs[call.id] = run
        follower = asyncio.create_task(self._follow(call.id, run))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)

    def _cancel(self, cancel: SocketCancel) -> None:
        run = self._runs.get(cancel.id)
        if run is None:
            raise BadRequest(f"no run with the id {cancel.id!r} is open on this socket")
        self.gateway.runs.cancel(run, cancel.terminate)

    async def _follow(self, id: str, run: Run) -> None:
        last = 0
        while events := await run.next_events(last):
            for event in events:
                await self._send(id, run.id, event.name, event.data)
                last = event.number
        if run.refusal is not None:
            await self._send(id, run.id, "error", json.dumps(run.refusal.problem()))
        self._runs.pop(id, None)
        self.gateway.runs.leave(run, self)
        self._close_if_idle()

    async def _send(self, id: str | None, run: str | None, event: str, data: str) -> None:
        members = {"id": id, **({"run": run} if run else {}), "event": event}
        try:
            await self.write_message(f'{json.dumps(members)[:-1]}, "data": {data}}}')
        except WebSocketClosedError:
            return

    def _close_if_idle(self) -> None:
        if self._draining and not self._runs:
            self.close(GOING_AWAY, "this process is shutting down")
