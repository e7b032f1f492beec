"""What both ends share of Redis. Runs wherever it is used; needs redis-py, so the wing does not import it by itself."""

from __future__ import annotations

from typing import Any

from redis import Connection, ResponseError
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, NoScriptError, OutOfMemoryError, ReadOnlyError, TryAgainError
from redis.retry import Retry

#: How Redis says that it cannot do something for now, since its memory is full, it is a replica, has lost its master or
#: a script, or is busy: as classes of redis-py, and as words where it has no class (Redis, "Error replies").
FOR_NOW = (OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError, NoScriptError)
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
