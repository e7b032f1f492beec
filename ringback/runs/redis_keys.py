"""The keys of a run in Redis, and how this process speaks to Redis. Any greenlet."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from ringback.wire import redis_tls

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats of a process.
HEARTBEAT_INTERVAL = 2.0

#: Seconds for an answer of Redis.
TIMEOUT = 2.0


def key(kind: str, name: str) -> str:
    """The key of a run's ``run`` (its record), ``events``, ``detached`` or ``takeover`` (a lock), of an ``owner`` (a
    process's lease), or of what is kept of ``all`` runs.

    :param name: the key of the run, the name of the process, or what is kept.
    """
    return f"ringback:{kind}:{name}"


def connect(url: str) -> Redis:
    """A client whose calls answer or fail within the time-out, and which over TLS checks the certificate's name."""
    # Celery's spelling, which redis-py does not take; the result backend's address must have it in older Celery.
    url = re.sub(r"\bssl_cert_reqs=CERT_(\w+)", lambda found: f"ssl_cert_reqs={found[1].lower()}", url)
    retry = Retry(NoBackoff(), 1)  # the first use of a connection that was cut while idle
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=retry,
        decode_responses=True,
        protocol=2,
        **redis_tls(url, {}),
    )


def log_errors(function: Callable[..., object], *args: object) -> None:
    """Call a function, and only log if Redis is away: the next heartbeat or write does the same again."""
    try:
        function(*args)
    except (RedisError, OSError) as error:
        logger.warning("runs cannot be shared: %s", error)
