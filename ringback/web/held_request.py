"""A request that is held open while its calls wait. On the loop's greenlet."""

from __future__ import annotations

import logging
from typing import ClassVar
from weakref import WeakSet

import tornado.web
from tornado.web import HTTPError

from ringback.calls import Call, current_holder
from ringback.errors import ClientGone, RingbackError
from ringback.traffic import Tenant
from ringback.web.access import ANYBODY, tenant_of
from ringback.web.error_answers import AnswersErrors, answer_error

logger = logging.getLogger(__name__)


class HeldRequest:
    """A request that is held open: the ``Holder`` of the calls that are made to answer it."""

    __slots__ = "__weakref__", "_calls", "handler", "unread"

    #: All that are not answered yet, and some that are: see ``held``.
    _all: ClassVar[WeakSet[HeldRequest]] = WeakSet()

    def __init__(self, handler: tornado.web.RequestHandler) -> None:
        self.handler = handler
        self._calls: tuple[Call, ...] = ()
        #: Seconds for which the request has waited to be read.
        self.unread: float = getattr(getattr(handler.request.connection, "stream", None), "unread", 0.0)
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
    def handlers(cls) -> list[tornado.web.RequestHandler]:
        """The handlers of all requests that are not answered yet, and of some that are."""
        return [request.handler for request in cls._all]

    @property
    def deadline(self) -> float | None:
        """Seconds for each call, as the handler has it."""
        return getattr(self.handler, "deadline", None)

    @property
    def tenant(self) -> Tenant:
        """Whose share of everything it takes."""
        return tenant_of(getattr(self.handler, "caller", ANYBODY), self.handler.request.remote_ip or "")

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
