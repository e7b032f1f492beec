"""Tornado handlers that hold a request until its task rings back. All of it runs on the loop's greenlet.

``RequestHandler`` is Tornado's with three things added: it answers errors as ``application/problem+json``, refuses
requests while the process shuts down, and stops to wait when its client has gone. ``asynchronous`` works in any
Tornado handler. This is the one place where the package's errors become HTTP answers.
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

from ringback.calls import Call, current_holder
from ringback.errors import ClientGone, RingbackError, ShuttingDown

logger = logging.getLogger(__name__)


class HeldRequest:
    """A request that is held open: the ``Holder`` of the calls that are made to answer it."""

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
        """The held request of this handler. It is made and put into the running context if there is none yet."""
        holder = current_holder.get()
        if isinstance(holder, cls) and holder.handler is handler:
            return holder
        request = cls(handler)
        current_holder.set(request)
        return request

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
        """Tell the requests that last, such as WebSockets, that the process is about to end."""
        for request in list(cls._all):
            if isinstance(request.handler, RequestHandler):
                request.handler.on_drain()

    @property
    def deadline(self) -> float | None:
        """Seconds for each call, as the handler has it."""
        return getattr(self.handler, "deadline", None)

    def waits_for(self, call: Call) -> None:
        """Remember a call, to drop it when the client goes."""
        self._calls = (*(other for other in self._calls if other.is_waiting), call)

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless the answer has been finished."""
        if self.handler._finished:
            if not isinstance(error, ClientGone):
                logger.error("an error after the answer of %s", self.handler.request.path, exc_info=error)
            return
        exc_info = (type(error), error, error.__traceback__)
        if isinstance(error, RingbackError) and not isinstance(self.handler, AnswersErrors):  # not served by ``serve``
            answer_error(self.handler, error)
            return
        self.handler.log_exception(*exc_info)
        self.handler.send_error(error.status_code if isinstance(error, HTTPError) else 500, exc_info=exc_info)

    def _on_client_gone(self) -> None:
        self._all.discard(self)
        for call in self._calls:
            call.abandon(ClientGone("the client has gone", call.id))
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


class AnswersErrors(tornado.web.RequestHandler):
    """Answers a ``RingbackError`` with its own status, where Tornado would answer 500 and log a traceback."""

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send an error, with the status of the ``RingbackError`` if it is one."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(error.status if isinstance(error, RingbackError) else status_code, **kwargs)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log an exception that is not a ``RingbackError``: of those the answer and the access log say enough."""
        if not isinstance(value, RingbackError):
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a ``RingbackError`` as ``application/problem+json``, and other errors as Tornado does."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, RingbackError):
            answer_error(self, error)
        else:
            super().write_error(status_code, **kwargs)


class RequestHandler(AnswersErrors):
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
        """Prepare to end soon, since the process is about to end; for requests that last, such as WebSockets."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer as ``application/problem+json`` (RFC 9457)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        answer_error(self, error, status_code)


class NotFound(RequestHandler):
    """Answers 404 to what no other handler answers."""

    def prepare(self) -> None:
        raise HTTPError(404)


def answer_error(handler: tornado.web.RequestHandler, error: BaseException | None, status: int = 500) -> None:
    """Finish a request with an error as ``application/problem+json`` (RFC 9457).

    Errors that are not a ``RingbackError`` expose only status and title.
    """
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


@functools.cache
def answering_errors(handler_class: type[tornado.web.RequestHandler]) -> type[tornado.web.RequestHandler]:
    """The handler class, or a subclass of it that answers a ``RingbackError`` with its own status."""
    if issubclass(handler_class, AnswersErrors):
        return handler_class
    return type(handler_class.__name__, (handler_class, AnswersErrors), {"__module__": handler_class.__module__})
