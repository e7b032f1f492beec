"""The first call of an application: it puts the package into a Celery app. On the main greenlet."""

from __future__ import annotations

from celery import Celery

from ringback.calls.switchboard import Switchboard
from ringback.settings import Settings, read


def install(app: Celery, options: Settings | None = None) -> Switchboard:
    """Make the calls of a Celery app's tasks ring back on the loop. Call it once, before any task is called.

    :param app: its results must go to ``rpc://`` or ``redis://``. Stock workers can answer.
    :param options: read from the environment if not given.
    :returns: the switchboard, to be started by ``serve`` or by its own ``start``.
    :raises BadSetting: a setting cannot be used, gevent's patch is missing, or a library is too new.
    """
    return Switchboard(app, options or read())
