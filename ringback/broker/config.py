"""What a Celery app says of its broker: its addresses and the type of its queues. Pure; any greenlet."""

from __future__ import annotations

import math

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import parse_url

from ringback.errors import BadSetting
from ringback.settings import check_url, without_password

#: Who keeps a queue: one node of the broker, or most nodes of a cluster.
QUEUE_TYPES = ("classic", "quorum")

#: Seconds of kombu's visibility time-out, unless the app's ``broker_transport_options`` say otherwise.
VISIBILITY_TIMEOUT = 3600.0

#: The part of it for which a worker may hold a message: it also waits to be taken, and for the worker's clock.
HELD_PART = 0.9


def broker_urls(app: Celery) -> list[str]:
    """The addresses of the app's broker. Kombu takes several nodes of a cluster as one string, between semicolons."""
    given = app.conf.broker_write_url or "amqp://"
    return given.split(";") if isinstance(given, str) else list(given)


def queue_arguments(app: Celery) -> dict[str, str]:
    """The arguments that the app's queues are declared with; none for classic queues."""
    kind = _queue_type(app)
    return {} if kind == "classic" else {"x-queue-type": kind}


def check_broker(app: Celery) -> None:
    """Check the app's broker addresses and queue type.

    :raises BadSetting: one of them cannot be used.
    """
    for url in broker_urls(app):
        check_url("BROKER_URL", url)
        if not _is_broker(url):
            raise BadSetting(
                f"BROKER_URL: {without_password(url)!r} is no broker: expected amqp://user:password@host:5672/vhost,"
                " or several of that, with ';' between them"
            )
    options = app.conf.broker_transport_options or {}
    if broker_urls(app)[0].startswith("sentinel:") and not options.get("master_name"):
        raise BadSetting(
            "BROKER_URL: sentinel:// needs the name of the master that the sentinels watch: REDIS_MASTER=mymaster, or"
            " broker_transport_options = {'master_name': 'mymaster'} in your Celery app"
        )
    if _queue_type(app) not in QUEUE_TYPES:
        raise BadSetting(f"TASK_QUEUE_TYPE={_queue_type(app)!r}: expected {' or '.join(QUEUE_TYPES)}")


def is_redis(app: Celery) -> bool:
    """Whether the app's broker is Redis, perhaps behind Sentinel."""
    scheme = broker_urls(app)[0].partition(":")[0].partition("+")[0]
    return scheme in ("redis", "rediss", "sentinel")


def speaks_amqp(app: Celery) -> bool:
    """Whether the app's broker speaks AMQP, as one does whose address names no kind."""
    scheme, separator, _ = broker_urls(app)[0].partition("://")
    return "amqp" in scheme or not separator


def longest_delay(app: Celery) -> float:
    """Seconds that a message may be ahead, as the broker is set.

    A worker holds it without an acknowledgement until then. Redis gives what is held for longer than the visibility
    time-out to another worker, too, so that the task runs twice.
    """
    if not is_redis(app):
        return math.inf
    options = app.conf.broker_transport_options or {}
    return HELD_PART * float(options.get("visibility_timeout", VISIBILITY_TIMEOUT))


def _is_broker(url: str) -> bool:
    scheme = url.partition("://")[0].partition("+")[0]
    if "amqp" in scheme:  # other transports write their ports in ways of their own
        try:
            parse_url(url)
        except ValueError:
            return False
    return scheme in TRANSPORT_ALIASES


def _queue_type(app: Celery) -> str:
    return app.conf.get("task_default_queue_type") or "classic"  # before Celery 5.5 there is no such setting
