"""Where a run is in Redis, and how Redis is spoken to. Any greenlet."""

from __future__ import annotations

import logging
from collections.abc import Callable

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

#: Seconds between two signs of life of a process.
HEARTBEAT_INTERVAL = 2.0

#: Seconds for an answer of Redis.
TIMEOUT = 2.0


def key(kind: str, id: str) -> str:
    """The key of a run's ``run`` (its record), ``events``, ``made``, ``detached`` or ``heir``, or of an ``owner``."""
    return f"ringback:{kind}:{id}"


def connect(url: str) -> Redis:
    """A Redis that answers within a time, or not."""
    retry = Retry(NoBackoff(), 1)  # the first use of a connection that was cut while idle
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=retry,
        decode_responses=True,
        protocol=2,
    )


def quietly(function: Callable[..., object], *args: object) -> None:
    """Do it, and only log if Redis is away: somebody else does it again."""
    try:
        function(*args)
    except (RedisError, OSError) as error:
        logger.warning("runs cannot be shared: %s", error)
