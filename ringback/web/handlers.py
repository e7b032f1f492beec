"""Tornado handlers that hold a request until its task rings back. All of it runs on the loop's greenlet.

``RequestHandler`` is Tornado's with three things added: it answers errors as ``application/problem+json``, refuses
requests while the process shuts down, and stops to wait when its client has gone. ``asynchronous`` works in any
Tornado handler.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, ClassVar

import tornado.web
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from ringback.errors import RingbackError, ShuttingDown, TooManyFailures, Unauthorized
from ringback.traffic import Tenant
from ringback.web import audit
from ringback.web.access import ANYBODY, Caller, RateLimit, access_in, tenant_of
from ringback.web.addresses import network_of
from ringback.web.answer_headers import SAFE
from ringback.web.error_answers import AnswersErrors, answer_error
from ringback.web.held_request import HeldRequest
from ringback.web.pages import ORIGINS, check_page
from ringback.web.tickets import tickets_in

#: The wrong tokens of each address: ten at once, then one a second. A right token of the same address always works, so
#: that a client with an old token does not lock out its neighbours.
_failures = RateLimit(1.0, TooManyFailures, burst=10.0)


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


class RequestHandler(AnswersErrors):
    """A handler whose requests may be held. Override ``prepare`` only with a call of ``super().prepare()``.

    Where tokens are set, each request needs one with the scope that ``scopes`` names for its method, and ``caller`` is
    whose it is. Its answers are ``text/plain`` unless they say otherwise, so that no browser takes a result for a page.
    """

    deadline: float | None = None  #: seconds for each call made here; ``None`` for the setting RINGBACK_DEADLINE
    open_to_all = False  #: whether requests are answered without a token, where tokens are set
    takes_tickets = False  #: whether ``?ticket=`` may stand for the token: see ``tickets``
    scopes: ClassVar[dict[str, str]] = {}  #: by method; ``call`` for all others
    standing_headers: ClassVar[dict[str, str]] = SAFE  #: of every answer that does not set them itself
    caller: Caller = ANYBODY
    audited: dict[str, str] | None = None  #: what the audit log says of the request: event, task, run

    def set_default_headers(self) -> None:
        """Set the type that answers have unless they say otherwise."""
        self._headers["Content-Type"] = "text/plain; charset=UTF-8"

    def flush(self, include_footers: bool = False) -> Any:
        """Send what was written, as Tornado's ``flush``, first with the headers of every answer that it has not set."""
        if not self._headers_written:  # and not before: a held request would keep 0.1 KiB for each
            for name, value in self.standing_headers.items():
                if name not in self._headers:
                    self._headers[name] = value
        return super().flush(include_footers)

    def render(self, template_name: str, **kwargs: Any) -> Any:
        """Answer with a page made from a template, as Tornado's ``render``."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        return super().render(template_name, **kwargs)

    def prepare(self) -> None:
        """Hold the request, and find out whose it is.

        :raises ShuttingDown: this process takes no more requests.
        :raises Unauthorized: it has no known token.
        :raises Forbidden: its token has not the scope that it needs, or a page of an origin that is not allowed asks.
        """
        HeldRequest.of(self)
        if audit.SETTING in self.settings:
            self.set_header("X-Request-ID", audit.name_request(self.request))
        if self.settings.get("draining"):
            raise ShuttingDown("this process is shutting down")
        if self.request.method == "OPTIONS" or not self.is_public(self.request):
            check_page(self.request, self.origins)
        if not self.is_public(self.request):
            self.caller = self.authenticate(self.request, self.settings)

    @property
    def tenant(self) -> Tenant:
        """Whose share of everything the request takes."""
        return tenant_of(self.caller, self.request.remote_ip or "")

    @property
    def origins(self) -> Collection[str]:
        """The origins whose pages may ask, beside the own origin."""
        origins: Collection[str] = self.settings.get(ORIGINS, ())
        return origins

    def on_finish(self) -> None:
        """Write a line of the audit log, if there is one. Tornado calls this when the request is answered."""
        status = self.get_status()
        if audit.SETTING not in self.settings or (self.audited is None and status not in audit.REFUSED):
            return
        about = self.audited or {}
        if status in audit.REFUSED:
            about = {**about, "event": "refuse"}
        self.write_audit(about, status)

    def write_audit(self, about: dict[str, str], outcome: object) -> None:
        """Write a line of the audit log.

        :param about: the event, and perhaps the task and the run.
        """
        unknown = self.caller is ANYBODY and access_in(self.settings).is_guarded
        caller = None if unknown else self.caller.name
        request = self.request
        audit.write(
            address=request.remote_ip, request_id=audit.name_request(request), caller=caller, outcome=outcome, **about
        )

    @classmethod
    def is_public(cls, request: HTTPServerRequest) -> bool:
        """Whether a request needs no token. A browser sends none with its question before a cross-origin request."""
        return cls.open_to_all or request.method == "OPTIONS"

    @classmethod
    def authenticate(cls, request: HTTPServerRequest, settings: dict[str, Any]) -> Caller:
        """Find the caller of a request to this handler. Its body may be still under way.

        :param settings: of the application.

        :raises Unauthorized: it has no known token.
        :raises TooManyFailures: so it is, and its address has sent wrong tokens too often.
        :raises Forbidden: its token has not the scope that it needs.
        """
        try:
            ticket = request.query_arguments.get("ticket") if cls.takes_tickets else None
            if ticket is not None and "Authorization" not in request.headers:
                caller = tickets_in(settings).take(ticket[0].decode("latin-1"))
            else:
                caller = access_in(settings).caller(request.headers.get("Authorization"))
        except Unauthorized:
            _failures.spend(network_of(request.remote_ip or ""))
            raise
        caller.require(cls.scopes.get(request.method or "", "call"))
        return caller

    def is_still_allowed(self) -> bool:
        """Whether the request would be let in now as it was; one with a ticket would not."""
        try:
            return self.is_public(self.request) or self.authenticate(self.request, self.settings) == self.caller
        except RingbackError:
            return False

    def on_drain(self) -> None:
        """Prepare to end soon, since the process is about to end; for requests that last, such as WebSockets."""

    def on_caller_removed(self) -> None:
        """End what lasts, such as a WebSocket: the caller's token is not valid any more."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer as ``application/problem+json`` (RFC 9457)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        answer_error(self, error, status_code)


class NotFound(RequestHandler):
    """Answers 404 to what no other handler answers."""

    open_to_all = True

    def prepare(self) -> None:
        raise HTTPError(404)
