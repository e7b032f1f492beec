"""Tornado handlers that hold a request until its task rings back. All of it runs on the loop's greenlet.

``RequestHandler`` is Tornado's with three things added: it answers errors as ``application/problem+json``, refuses
requests while the process shuts down, and stops waiting when its client has gone. ``asynchronous`` works in any
Tornado handler.
"""

from __future__ import annotations

import functools
import http.client
import inspect
import json
import logging
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakSet

import tornado.web
from tornado.web import HTTPError

from ringback.calls.call import Call, current_holder
from ringback.errors import ClientGone, RingbackError, ShuttingDown

logger = logging.getLogger(__name__)


class HeldRequest:
    """A request that is held open; the ``Holder`` of the calls that are made to answer it."""

    __slots__ = "__weakref__", "_calls", "handler"

    #: All that are not answered yet, and some that are: see ``held``.
    _all: ClassVar[WeakSet[HeldRequest]] = WeakSet()

    def __init__(self, handler: tornado.web.RequestHandler) -> None:
        self.handler = handler
        self._calls: tuple[Call, ...] = ()
        handler.request.connection.set_close_callback(self._on_client_gone)  # type: ignore[union-attr]
        self._all.add(self)

    @classmethod
    def of(cls, handler: tornado.web.RequestHandler) -> HeldRequest:
        """The held request of this handler, made and put into the running context if there is none."""
        holder = current_holder.get()
        if not isinstance(holder, cls) or holder.handler is not handler:
            holder = cls(handler)
            current_holder.set(holder)
        return holder

    @classmethod
    def held(cls) -> int:
        """How many requests wait for their answer."""
        return sum(request.is_open for request in cls._all)

    @property
    def is_open(self) -> bool:
        """Whether it waits for its answer."""
        return getattr(self.handler, "is_open", not self.handler._finished)

    @classmethod
    def drain(cls) -> None:
        """Tell those that would never end by themselves that the process is about to."""
        for request in list(cls._all):
            if isinstance(request.handler, RequestHandler):
                request.handler.on_drain()

    @property
    def deadline(self) -> float | None:
        """Seconds for each call, as the handler has it."""
        return getattr(self.handler, "deadline", None)

    def made(self, call: Call) -> None:
        """Remember a call, to drop it when the client goes."""
        self._calls = (*(other for other in self._calls if other.id in other.switchboard.ledger), call)

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless the answer is under way already."""
        if self.handler._finished:
            if not isinstance(error, ClientGone):
                logger.error("an error after the answer of %s", self.handler.request.path, exc_info=error)
            return
        status = error.status_code if isinstance(error, HTTPError) else 500
        exc_info = (type(error), error, error.__traceback__)
        self.handler.log_exception(*exc_info)
        if (
            isinstance(error, RingbackError)
            and type(self.handler).write_error is tornado.web.RequestHandler.write_error
        ):
            write_problem(self.handler, error)  # Tornado's page would not name the task
        else:
            self.handler.send_error(status, exc_info=exc_info)

    def _on_client_gone(self) -> None:
        self._all.discard(self)
        for call in self._calls:
            call.switchboard.settle(call.id, ClientGone("the client has gone", call.id))
        self.handler.on_connection_close()


def asynchronous(method: Callable[..., object]) -> Callable[..., None]:
    """Keep the request open when this handler method returns; a callback calls ``finish()``. Tornado had it until 6.0.

    The handler's ``deadline`` attribute, if it has one, holds for the calls made here, in seconds.

    :raises TypeError: the method is a coroutine, which holds its request without this.
    """
    if inspect.iscoroutinefunction(method):
        raise TypeError(f"{method.__qualname__} is a coroutine: it needs no @asynchronous")

    @functools.wraps(method)
    def hold_open(self: tornado.web.RequestHandler, *args: Any, **kwargs: Any) -> None:
        self._auto_finish = False
        request = HeldRequest.of(self)
        try:
            method(self, *args, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # GreenletExit is no Exception, and Tornado would leave the request open
            request.fail(error)

    return hold_open


class RequestHandler(tornado.web.RequestHandler):
    """A handler whose requests may be held. Override ``prepare`` only with a call of ``super().prepare()``."""

    deadline: float | None = None  #: seconds for each call made here; ``None`` for the setting RINGBACK_DEADLINE

    def prepare(self) -> None:
        """Hold the request.

        :raises ShuttingDown: this process takes no more requests.
        """
        HeldRequest.of(self)
        if self.settings.get("draining"):
            raise ShuttingDown("this process is shutting down")

    def on_drain(self) -> None:
        """This process is about to end; for requests that last, such as WebSockets, to end soon."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer as ``application/problem+json`` (RFC 9457)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        write_problem(self, error, status_code)


class NotFound(RequestHandler):
    """Answers what no other handler answers: 404."""

    def prepare(self) -> None:
        raise HTTPError(404)


def write_problem(handler: tornado.web.RequestHandler, error: BaseException | None, status: int = 500) -> None:
    """Finish a request with an error as ``application/problem+json``; what is not ours to tell is not told."""
    if isinstance(error, RingbackError):
        status, body = error.status, error.problem()
        if error.retry_after is not None:
            handler.set_header("Retry-After", str(error.retry_after))
        if isinstance(error, ShuttingDown):
            handler.set_header("Connection", "close")
    else:
        reason = getattr(error, "reason", None) or http.client.responses.get(status, "Unknown")
        body = {"type": "about:blank", "title": reason, "status": status}
    handler.set_status(status)
    handler.set_header("Content-Type", "application/problem+json")
    handler.finish(json.dumps(body) + "\n")
