"""The keys of a run in Redis, and how this process speaks to Redis. Any greenlet."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import BlockingConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from ringback.wire import redis_tls

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats of a process.
HEARTBEAT_INTERVAL = 2.0

#: Connections of a process, one of which listens. A small plan has 20 for all; who finds none free waits for one.
CONNECTIONS = 4

#: The port of a sentinel whose address names none.
SENTINEL_PORT = 26379

#: Seconds for an answer of Redis, and for a connection.
TIMEOUT = 2.0


def key(kind: str, name: str) -> str:
    """The key of a run's ``run`` (its record), ``events``, ``detached`` or ``takeover`` (a lock), of an ``owner`` (a
    process's lease), or of what is kept of ``all`` runs.

    :param name: the key of the run, the name of the process, or what is kept.
    """
    return f"ringback:{kind}:{name}"


def connect(url: str, master: str = "") -> Redis:
    """A client whose calls answer or fail within the time-out, and which over TLS checks the certificate's name.

    :param url: of the Redis, or ``sentinel://…;sentinel://…``.
    :param master: the name by which the sentinels know it.
    """
    if url.startswith("sentinel:"):
        return _behind_sentinel(url, master)
    retry = Retry(NoBackoff(), 1)  # the first use of a connection that was cut while idle
    pool = BlockingConnectionPool.from_url(
        _as_redis_py_has_it(url),
        max_connections=CONNECTIONS,
        timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=retry,
        decode_responses=True,
        protocol=2,
        **redis_tls(url, {}),
    )
    return Redis(connection_pool=pool)


def _as_redis_py_has_it(url: str) -> str:
    """An address in redis-py's spelling, given in that or in Celery's."""
    if url.startswith(("redis+socket:", "socket:")):
        return "unix:" + url.partition(":")[2].replace("virtual_host=", "db=")
    return re.sub(r"\bssl_cert_reqs=CERT_(\w+)", lambda found: f"ssl_cert_reqs={found[1].lower()}", url)


def _behind_sentinel(url: str, master: str) -> Redis:
    nodes = [urlsplit(node) for node in _as_redis_py_has_it(url).split(";")]
    password = unquote(nodes[0].password) if nodes[0].password else None  # as kombu and Celery read it: the master's
    given = {name: value for name, value in parse_qsl(nodes[0].query) if name.startswith("ssl_")}
    tls = {"ssl": True, **redis_tls("rediss:", given)} if given else {}
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "decode_responses": True, "protocol": 2}
    addresses = [(node.hostname, node.port or SENTINEL_PORT) for node in nodes]
    sentinel = Sentinel(addresses, sentinel_kwargs={**options, **tls}, **options, **tls)
    database = int(nodes[0].path.strip("/") or 0)
    found: Redis = sentinel.master_for(master, db=database, password=password, retry=Retry(NoBackoff(), 1))
    return found


def log_errors(function: Callable[..., object], *args: object) -> None:
    """Call a function, and only log if Redis is away: the next heartbeat or write does the same again."""
    try:
        function(*args)
    except (RedisError, OSError) as error:
        logger.warning("runs cannot be shared: %s", error)
