"""Hold an HTTP request open until its Celery task rings back.

``install`` makes ``task.delay(…).then(callback)`` and ``await call(task, …)`` safe in the handlers of a
gevent-patched Tornado process. ``ringback.worker`` is for the workers, and imports neither Tornado nor gevent's loop:
so every name here is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback import api, settings, worker
    from ringback.api import read_json, routes
    from ringback.calls import Call, Switchboard, install
    from ringback.calls.call import call
    from ringback.errors import (
        BadArguments,
        BadSetting,
        BrokerUnavailable,
        ClientGone,
        DeadlineExceeded,
        NoResult,
        OutboxFull,
        PublishUnconfirmed,
        Refused,
        RepliesUnavailable,
        RingbackError,
        ShuttingDown,
        TaskFailed,
        Unauthorized,
        UnreadableReply,
    )
    from ringback.loop_queue import LoopQueue
    from ringback.web import Access, Caller, HeldRequest, NotFound, RequestHandler, asynchronous, serve
    from ringback.web import embedded_worker as embedded

#: The names that an application imports from here, by the module that each comes from.
_EXPORTS = {
    "ringback.api": "read_json routes",
    "ringback.calls": "Call Switchboard call install",
    "ringback.errors": (
        "BadArguments BadSetting BrokerUnavailable ClientGone DeadlineExceeded NoResult OutboxFull PublishUnconfirmed"
        " Refused RepliesUnavailable RingbackError ShuttingDown TaskFailed Unauthorized UnreadableReply"
    ),
    "ringback.loop_queue": "LoopQueue",
    "ringback.web": "Access Caller HeldRequest NotFound RequestHandler asynchronous serve",
}
_MODULES = {
    "api": "ringback.api",
    "embedded": "ringback.web.embedded_worker",
    "settings": "ringback.settings",
    "worker": "ringback.worker",
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names.split()}

__all__ = [
    "Access",
    "BadArguments",
    "BadSetting",
    "BrokerUnavailable",
    "Call",
    "Caller",
    "ClientGone",
    "DeadlineExceeded",
    "HeldRequest",
    "LoopQueue",
    "NoResult",
    "NotFound",
    "OutboxFull",
    "PublishUnconfirmed",
    "Refused",
    "RepliesUnavailable",
    "RequestHandler",
    "RingbackError",
    "ShuttingDown",
    "Switchboard",
    "TaskFailed",
    "Unauthorized",
    "UnreadableReply",
    "api",
    "asynchronous",
    "call",
    "embedded",
    "install",
    "read_json",
    "routes",
    "serve",
    "settings",
    "worker",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ringback' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
