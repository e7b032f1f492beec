"""What a Celery app says of its broker: its addresses and the type of its queues. Pure; any greenlet."""

from __future__ import annotations

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import parse_url

from ringback.errors import BadSetting
from ringback.settings import check_url, without_password

#: Who keeps a queue: one node of the broker, or most nodes of a cluster.
QUEUE_TYPES = ("classic", "quorum")


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
    if _queue_type(app) not in QUEUE_TYPES:
        raise BadSetting(f"TASK_QUEUE_TYPE={_queue_type(app)!r}: expected {' or '.join(QUEUE_TYPES)}")


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
