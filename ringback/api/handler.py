"""What the handlers of the HTTP interface share: knowing the caller, reading JSON, waiting for a run, answering."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel
from tornado.httputil import HTTPHeaders

from ringback.api.gateway import Gateway
from ringback.api.json_body import read_json
from ringback.errors import BadRequest, ClientGone, UnsupportedMediaType
from ringback.runs import Run, Submission
from ringback.web import NO_PAGE, PROBLEM, TRACE, HeldRequest, RequestHandler, for_origin, trace

#: The status of a request that goes on as a WebSocket (RFC 9110, 15.2.2).
SWITCHING_PROTOCOLS = 101

#: Seconds for which a request waits at least for what it asks for.
LEAST = 0.001

Body = TypeVar("Body", bound=BaseModel)


class ApiHandler(RequestHandler):
    """A request to the HTTP interface."""

    scopes: ClassVar[dict[str, str]] = {"GET": "read", "DELETE": "operate"}
    standing_headers: ClassVar[dict[str, str]] = {**RequestHandler.standing_headers, **NO_PAGE}

    def initialize(self, gateway: Gateway) -> None:
        """Take the route's argument, as Tornado's ``initialize``."""
        self.gateway = gateway
        self._given = frozenset(self.request.headers)
        self._run: Run | None = None
        self._gone = False
        self._waiter: asyncio.Future[bool] | None = None
        self._is_stream = False
        self._allow_origin()

    def set_default_headers(self) -> None:
        """Set the type of answers, and give the request's own trace headers back."""
        super().set_default_headers()
        for name, value in trace(self.request.headers).items():
            self._headers[name] = value

    def prepare(self) -> None:
        """Hold the request, and find out whose it is, as ``RequestHandler.prepare``."""
        self._received = asyncio.get_running_loop().time() - HeldRequest.of(self).unread
        super().prepare()

    def options(self, *_: str) -> None:
        """Answer a browser's question before a cross-origin request (Fetch, "CORS protocol")."""
        self.set_status(204)
        self.set_header("Allow", ", ".join(self._methods()))
        self.set_header("Access-Control-Allow-Methods", ", ".join(self._methods()))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer as for every error, with what 405 and a page of another origin need."""
        self._allow_origin()
        if status_code == 405:
            self.set_header("Allow", ", ".join(self._methods()))
        super().write_error(status_code, **kwargs)

    async def submit(self, submission: Submission) -> tuple[Run, bool]:
        """Start a run, or find the one that is repeated; the request waits for it from now on.

        :returns: the run, and whether it was there before.
        :raises ClientGone: the client has gone meanwhile.
        """
        self.audited = {"event": "call", "task": submission.call.task, "run": submission.run_id}
        self._run, repeated = await self.gateway.runs.submit(submission, self)
        self._check_client()
        return self._run, repeated

    async def find(self, run_id: str) -> Run:
        """Find the caller's run of this id; the request waits for it from now on.

        :raises UnknownRun: there is none.
        :raises ForgottenRun: it is no longer kept.
        :raises ClientGone: the client has gone meanwhile.
        """
        self._run = await self.gateway.runs.find(self.caller.name, run_id, self)
        self._check_client()
        return self._run

    def stay_open(self) -> None:
        """Take a place among the caller's event streams, WebSockets and polls that wait, until the request ends.

        :raises TooManyOpen: the caller has its share of them.
        """
        self.gateway.open_stream(self.tenant)
        self._is_stream = True

    def leave_open(self) -> None:
        """Give the place back, if the request has one."""
        if self._is_stream:
            self._is_stream = False
            self.gateway.streams.give_back(self.tenant)

    def on_finish(self) -> None:
        """Leave the run. Tornado calls this when the request is answered."""
        super().on_finish()
        if self.get_status() != SWITCHING_PROTOCOLS:  # with which a WebSocket begins
            self.leave_open()
        if self._run is not None:
            self.gateway.runs.leave(self._run, self)

    def on_connection_close(self) -> None:
        """Stop to wait because the client has gone, and drop the run if RINGBACK_CLIENT_GONE says so."""
        super().on_connection_close()
        self._gone = True
        self.leave_open()
        if self._run is None:
            return
        self.gateway.runs.leave(self._run, self)
        self.gateway.runs.on_client_gone(self._run)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ClientGone("the client has gone", self._run.run_id))

    def _check_client(self) -> None:
        """Raise if the client has gone while its run was looked for."""
        if self._gone:
            self.on_connection_close()
            raise ClientGone("the client has gone")

    async def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition of the run; returns whether it came true within so many seconds.

        :raises ClientGone: the client has gone.
        :raises RingbackError: the run was refused.
        """
        assert self._run is not None
        if self._gone:
            raise ClientGone("the client has gone", self._run.run_id)
        self._waiter = self._run.wait(until, seconds)
        try:
            return await self._waiter
        finally:
            self._waiter = None  # its exception knows us, by its traceback

    def header(self, name: str) -> str | None:
        """The value of a header, if the request has it. Tornado's ``get`` raises and catches an exception if not."""
        return self.request.headers[name] if _as_tornado_has_it(name) in self._given else None

    def trace(self) -> dict[str, str]:
        """The trace headers of this request, under the names that a task's request has them."""
        return {TRACE[name].in_task: value for name, value in trace(self.request.headers).items()}

    def body(self, shape: type[Body]) -> Body:
        """Read the request's JSON body.

        :param shape: the model that the body must fit.
        :raises UnsupportedMediaType: the Content-Type is not JSON.
        :raises BadRequest: the body is not JSON, or does not fit.
        """
        self.require_json()
        return read_json(self.request.body, shape)

    def require_json(self) -> None:
        """Check that the request's body is JSON by its Content-Type.

        :raises UnsupportedMediaType: it is not.
        """
        media_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.request.body and media_type != "application/json":
            raise UnsupportedMediaType("a JSON body is needed: curl -H 'Content-Type: application/json' -d '{}'")

    def answer(self, document: str, status: int = 200) -> None:
        """Finish with this JSON document."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(document + "\n")

    def answer_with_problem(self, problem: dict[str, Any]) -> None:
        """Finish with this problem document (RFC 9457)."""
        self.set_status(problem["status"])
        self.set_header("Content-Type", PROBLEM)
        self.finish(json.dumps(problem) + "\n")

    @property
    def age(self) -> float:
        """Seconds since the request came, read or not."""
        return asyncio.get_running_loop().time() - self._received

    def left(self, seconds: float) -> float:
        """What is left of so many seconds since the request came, or a moment."""
        return max(LEAST, seconds - self.age)

    @property
    def origins(self) -> Collection[str]:
        """The origins whose pages may ask."""
        return self.gateway.settings.cors

    def _allow_origin(self) -> None:
        """Have a page of an allowed origin read the answer."""
        for name, value in for_origin(self.header("Origin"), self.gateway.settings.cors).items():
            self.set_header(name, value)

    def _methods(self) -> list[str]:
        return [name for name in self.SUPPORTED_METHODS if getattr(type(self), name.lower()) is not _UNIMPLEMENTED]


_as_tornado_has_it = functools.lru_cache(lambda name: next(iter(HTTPHeaders({name: ""}))))

_UNIMPLEMENTED = RequestHandler.get  # what Tornado has for a method that a handler does not


def read_seconds(name: str, text: str) -> float:
    """Read a number of seconds.

    :param name: of the parameter, for the error.
    :raises BadRequest: it is not a number from 0 to 10^9.
    """
    if re.fullmatch(r"[0-9.eE+-]{1,32}", text):
        with suppress(ValueError):
            if 0 <= float(text) <= 10**9:
                return float(text)
    raise BadRequest(f"{name}: {text!r} is no number of seconds")
