"""What both ends share of Redis. Runs wherever it is used; needs redis-py, so the wing does not import it by itself."""

from __future__ import annotations

from typing import Any

from redis import Connection, ResponseError
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError
from redis.retry import Retry

#: What Redis refuses while its memory is full, while it is a replica, has lost its master, or is busy otherwise; in
#: classes of redis-py, and in the words for which it has no class (Redis, "Error replies").
FOR_NOW = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError)
WORDS_FOR_NOW = ("MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "LOADING")


def connect_backend(backend: Any, **more: Any) -> Connection:
    """Open a connection as a result backend of Celery's would, but without redis-py's silent reconnects.

    :param more: parameters beside the backend's own.
    :raises redis.RedisError: Redis cannot be reached in time.
    """
    parameters = {**backend.connparams, "protocol": 2, "retry": Retry(NoBackoff(), 0), **more}
    connection: Connection = backend._create_client(**parameters).connection_pool.make_connection()
    connection.connect()
    return connection


def passes(error: ResponseError) -> bool:
    """Whether Redis may take later what it refuses now."""
    return isinstance(error, FOR_NOW) or str(error).startswith(WORDS_FOR_NOW)
