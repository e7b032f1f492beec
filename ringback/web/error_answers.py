"""How the package's errors become HTTP answers: the one place for it. On the loop's greenlet."""

from __future__ import annotations

import functools
import http.client
import json
from collections import Counter
from typing import Any

import tornado.web

from ringback.errors import RingbackError
from ringback.web.access import ANYBODY
from ringback.web.answer_headers import PROBLEM, of_error

#: The refusals of this process since its start, by their reason (the last part of the problem's type) and caller class:
#: ``token`` if a token has named the caller, ``address`` if not.
REFUSALS: Counter[tuple[str, str]] = Counter()


class AnswersErrors(tornado.web.RequestHandler):
    """Answers a ``RingbackError`` with its own status, where Tornado would answer 500 and log a traceback.

    Its answers do not tell Tornado's version.
    """

    def clear(self) -> None:
        """Start the answer anew, as Tornado's ``clear``."""
        super().clear()
        self.clear_header("Server")

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


def count_refusal(error: BaseException | None, known: bool) -> None:
    """Count an error that is a refusal: the call may be tried again later.

    :param known: whether a token has named the caller.
    """
    if isinstance(error, RingbackError) and error.status in (429, 503):
        REFUSALS[error.slug, "token" if known else "address"] += 1


def answer_error(handler: tornado.web.RequestHandler, error: BaseException | None, status: int = 500) -> None:
    """Finish a request with an error as ``application/problem+json`` (RFC 9457).

    Errors that are not a ``RingbackError`` expose only status and title.
    """
    count_refusal(error, known=getattr(handler, "caller", ANYBODY) is not ANYBODY)
    if isinstance(error, RingbackError):
        status, body, headers = error.status, error.problem(), of_error(error)
    else:
        reason = getattr(error, "reason", None) or http.client.responses.get(status, "Unknown")
        body, headers = {"type": "about:blank", "title": reason, "status": status}, {"Content-Type": PROBLEM}
    handler.set_status(status)
    for name, value in headers.items():
        handler.set_header(name, value)
    handler.finish(json.dumps(body) + "\n")


@functools.cache
def answering_errors(handler_class: type[tornado.web.RequestHandler]) -> type[tornado.web.RequestHandler]:
    """The handler class, or a subclass of it that answers a ``RingbackError`` with its own status."""
    if issubclass(handler_class, AnswersErrors):
        return handler_class
    return type(handler_class.__name__, (handler_class, AnswersErrors), {"__module__": handler_class.__module__})
