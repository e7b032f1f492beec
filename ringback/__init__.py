"""Hold an HTTP request open until its Celery task rings back.

``install`` makes ``task.delay(…).then(callback)`` and ``await call(task, …)`` safe in the handlers of a
gevent-patched Tornado process.
"""

from celery import Celery

from ringback import embedded, settings
from ringback.calls import Call, call
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
    UnreadableReply,
)
from ringback.handlers import NotFound, RequestHandler, asynchronous
from ringback.server import serve
from ringback.switchboard import Switchboard

__all__ = [
    "BadArguments",
    "BadSetting",
    "BrokerUnavailable",
    "Call",
    "ClientGone",
    "DeadlineExceeded",
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
    "UnreadableReply",
    "asynchronous",
    "call",
    "embedded",
    "install",
    "serve",
    "settings",
]


def install(app: Celery, options: settings.Settings | None = None) -> Switchboard:
    """Make the calls of a Celery app's tasks ring back on the loop. To be called once, before any task is called.

    :param app: its results must go to ``rpc://`` or ``redis://``. Workers need nothing of this.
    :param options: read from the environment if not given.
    :returns: the switchboard, to be started by ``serve`` or by its own ``start``.
    :raises BadSetting: a setting cannot be used, or gevent's patch is missing.
    """
    return Switchboard(app, options or settings.read())
