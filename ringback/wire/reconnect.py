"""The one loop that keeps a connection: open it, use it, and after a failure wait and open it again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ringback.wire.backoff import ReconnectBackoff

logger = logging.getLogger(__name__)


def keep_connected(
    session: Callable[[], object],
    backoff: ReconnectBackoff,
    purpose: str,
    stopped: Callable[[], bool] = lambda: False,
    pause: Callable[[float], object] | None = None,
) -> None:
    """Run ``session`` again and again until ``stopped()``. Runs on the greenlet or thread that owns the connection.

    :param session: connects, calls ``backoff.connected()``, and returns or raises when the connection is lost.
    :param purpose: what the connection is for, as the log names it.
    :param pause: waits so many seconds; by default ``time.sleep``, as gevent has patched it by the time of the call.
    """
    while not stopped():
        try:
            session()
        except Exception as error:
            seconds = backoff.lost()
            kind = type(error).__name__  # and not its repr, in which redis-py 8 hides the message
            logger.warning("no connection for %s, next attempt in %.1f s: %s: %s", purpose, seconds, kind, error)
            (pause or time.sleep)(seconds)
