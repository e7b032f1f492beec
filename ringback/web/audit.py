"""One line of JSON for each call, cancellation and refusal, where RINGBACK_AUDIT asks for it. On the loop's greenlet.

The lines go to the logger ``ringback.audit``, and from there to standard error, beside the other log.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from uuid import uuid4

from tornado.httputil import HTTPServerRequest

logger = logging.getLogger("ringback.audit")

#: The statuses that are refusals of the caller, whatever was asked for.
REFUSED = frozenset({401, 403, 421, 429})

#: The name of the switch among an application's settings.
SETTING = "ringback_audit"


def start() -> None:
    """Have the lines written, each as it is."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def name_request(request: HTTPServerRequest) -> str:
    """The id of a request: the client's ``X-Request-ID``, or else one that is made now and travels with the call."""
    if "X-Request-ID" not in request.headers:
        request.headers["X-Request-ID"] = str(uuid4())
    return request.headers["X-Request-ID"]


def write(
    event: str,
    address: str | None,
    request_id: str | None,
    caller: str | None = None,
    task: str | None = None,
    run: str | None = None,
    outcome: object = None,
) -> None:
    """Write a line.

    :param event: ``call``, ``cancel``, ``erase`` or ``refuse``.
    :param address: the client's, behind a known proxy.
    :param caller: its name, if it is known.
    :param run: the run's id, as its caller knows it.
    :param outcome: the status of the answer, or the state of the run.
    """
    line = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "event": event,
        "caller": caller,
        "task": task,
        "run": run,
        "request_id": request_id,
        "address": address,
        "outcome": outcome,
    }
    logger.info(json.dumps({name: value for name, value in line.items() if value is not None}))
