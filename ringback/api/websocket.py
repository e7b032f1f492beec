"""``/v1/socket``: many calls over one WebSocket, each with its states and its result.

The client sends ``{"id": …, "task": …, "args": […], "kwargs": {…}}``. It gets ``{"id": …, "run": …, "event": …, "data":
…}`` for each event of that run, up to the event ``result``, or one ``error``. ``{"id": …, "cancel": true}`` cancels a
run. The id is the client's own and may be used again when its run has ended.

A client that does not read slows down only itself: of each run one event is under way, and its messages stay unread.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ringback.api.call_body import CallBody
from ringback.api.documents import shown_events
from ringback.api.gateway import Gateway
from ringback.api.json_body import fit, read_value
from ringback.api.tasks import Calls
from ringback.errors import BadRequest, KeyReused, RingbackError, ShuttingDown, TooManyCalls
from ringback.runs import Run, to_json, to_json_object
from ringback.web import ANYBODY, HeldRequest, count_refusal

#: The most open runs of one socket. Each may have a message under way to a client that does not read.
OPEN_RUNS = 1000

#: "Going Away" (RFC 6455, 7.4.1).
GOING_AWAY = 1001

#: "Policy Violation" (same place).
POLICY_VIOLATION = 1008

Id = Annotated[str, Field(min_length=1, max_length=128)]


class Envelope(BaseModel):
    """What every message of a client has."""

    model_config = ConfigDict(extra="ignore")
    id: Id
    cancel: bool = False


class SocketCall(CallBody):
    """The message that calls a task."""

    id: Id
    task: str
    key: Annotated[str, Field(min_length=1, max_length=255)] | None = None  #: as Idempotency-Key
    cancel_after: Annotated[float, Field(gt=0, le=10**9)] | None = None  #: as Cancel-After


class SocketCancel(BaseModel):
    """The message that cancels a run."""

    model_config = ConfigDict(extra="forbid")
    id: Id
    cancel: Literal[True]
    terminate: bool = False


class Socket(Calls, WebSocketHandler):
    """One WebSocket, and the runs that are open on it."""

    scopes: ClassVar[dict[str, str]] = {"GET": "call"}
    takes_tickets = True

    def initialize(self, gateway: Gateway) -> None:
        """Take the route's argument, as Tornado's ``initialize``."""
        super().initialize(gateway)
        self._open_runs: dict[str, Run] = {}  # by the client's id
        self._followers: set[asyncio.Task[None]] = set()
        self._draining = False

    def prepare(self) -> None:
        """Prepare as every request, and keep it, since Tornado forgets a connection that becomes a WebSocket."""
        super().prepare()
        self.stay_open()
        self._request = HeldRequest.of(self)

    @property
    def is_open(self) -> bool:
        """Whether it has an open run."""
        return bool(self._open_runs)

    def check_origin(self, origin: str) -> bool:
        """Let every origin through: ``prepare`` has refused those that are not allowed."""
        return True

    async def on_message(self, message: str | bytes) -> None:
        """Handle a message. Tornado reads the next one when this returns."""
        client_id = None
        text = message.encode() if isinstance(message, str) else message
        try:
            too_many = self._spend()
            read = read_value(text)
            envelope = fit(read, Envelope)
            client_id = envelope.id
            if too_many is not None:
                raise too_many
            if envelope.cancel:
                self._cancel(fit(read, SocketCancel))
            else:
                await self._call(fit(read, SocketCall), text)
        except RingbackError as error:
            count_refusal(error, known=self.caller is not ANYBODY)
            self._audit({"event": "refuse"}, error.status)
            await self._send(client_id, None, "error", to_json(error.problem()))

    def on_drain(self) -> None:
        """Take no more calls, since the process is about to end, and close when the last run has ended."""
        self._draining = True
        self._close_if_idle()

    def on_caller_removed(self) -> None:
        """Close the socket of a caller whose token is not valid any more."""
        self.close(POLICY_VIOLATION, "the token is not valid any more")

    @property
    def max_message_size(self) -> int:
        """A message may be as long as a body."""
        return self.gateway.settings.body_limit

    def on_close(self) -> None:
        """Leave the runs, since the client has gone."""
        self.leave_open()
        for follower in self._followers:
            follower.cancel()
        for run in self._open_runs.values():
            self.gateway.runs.leave(run, self)
            self.gateway.runs.on_client_gone(run)
        self._open_runs.clear()

    def _spend(self) -> TooManyCalls | None:
        """Count a message; returns the refusal if it comes too soon, since its answer needs the message's id."""
        try:
            self.gateway.rate.spend(self.caller.name)
        except TooManyCalls as error:
            return error
        return None

    async def _call(self, call: SocketCall, text: bytes) -> None:
        checked = await self.check(self.gateway.tasks.find(self.caller, call.task), call, text)
        if self._draining:
            raise ShuttingDown("this process is shutting down")
        if call.id in self._open_runs:
            raise KeyReused(f"the run with the id {call.id!r} has not ended")
        if len(self._open_runs) >= OPEN_RUNS:
            raise TooManyCalls(f"{OPEN_RUNS} runs are open on this socket")
        submission = self.submission(checked, key=call.key, cancel_after=call.cancel_after)
        run, _ = await self.gateway.runs.submit(submission, self)
        self._audit({"event": "call", "task": run.task, "run": run.run_id}, run.state.shown)
        self._open_runs[call.id] = run
        follower = asyncio.create_task(self._follow(call.id, run))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)

    def _cancel(self, cancel: SocketCancel) -> None:
        self.caller.require("operate")
        run = self._open_runs.get(cancel.id)
        if run is None:
            raise BadRequest(f"no run with the id {cancel.id!r} is open on this socket")
        if cancel.terminate:
            self.gateway.check_terminate(run)
        self.gateway.runs.cancel(run, cancel.terminate)
        self._audit({"event": "cancel", "task": run.task, "run": run.run_id}, run.state.shown)

    def _audit(self, about: dict[str, str], outcome: object) -> None:
        if self.gateway.settings.audit:
            self.write_audit(about, outcome)

    async def _follow(self, client_id: str, run: Run) -> None:
        last = 0
        try:
            while events := await run.next_events(last):
                for event in shown_events(run, events):
                    await self._send(client_id, run.run_id, event.name, event.data)
                    last = event.number
        except RingbackError as refusal:
            count_refusal(refusal, known=self.caller is not ANYBODY)
            await self._send(client_id, run.run_id, "error", to_json(refusal.problem()))
        self._open_runs.pop(client_id, None)
        self.gateway.runs.leave(run, self)
        self._close_if_idle()

    async def _send(self, client_id: str | None, run_id: str | None, event: str, data: str) -> None:
        members = {"id": client_id, **({"run": run_id} if run_id else {}), "event": event}
        with suppress(WebSocketClosedError):
            await self.write_message(to_json_object(members, data=data))

    def _close_if_idle(self) -> None:
        if self._draining and not self._open_runs:
            self.close(GOING_AWAY, "this process is shutting down")
