"""The kinds of brokers, and a connection to the one that an app has."""

from __future__ import annotations

from celery import Celery
from kombu.utils.imports import symbol_by_name

from ringback.broker.config import broker_urls, speaks_amqp
from ringback.broker.link import Link, Listener
from ringback.settings import Settings

#: The class of each kind's links, by the name of kombu's driver; for all others there is one more.
KINDS = {"py-amqp": "ringback.broker.amqp:AMQPLink", "redis": "ringback.broker.redis:RedisLink"}


def connect(app: Celery, settings: Settings, first: int = 0, listener: Listener | None = None) -> Link:
    """Connect to an app's broker.

    :param app: ``broker_url`` may list several nodes, which are tried in turn.
    :param settings: for the connect time-out and the heartbeat.
    :param first: the number of the node to try first, modulo their count. An owner that counts its attempts leaves a
        node behind that accepts connections and does no work.
    :param listener: who publishes on it.
    :raises kombu.exceptions.OperationalError: no node could be reached in time.
    """
    brokers = broker_urls(app)
    turn = first % len(brokers)
    connection = app.connection_for_write(
        ";".join(brokers[turn:] + brokers[:turn]),
        heartbeat=settings.heartbeat,
        connect_timeout=settings.connect_timeout,
        transport_options={"confirm_publish": False} if speaks_amqp(app) else {},  # the link waits for the confirms
    )
    kind = KINDS.get(connection.transport.driver_name, "ringback.broker.other:OtherLink")
    link: Link = symbol_by_name(kind)(connection, settings, listener)
    return link
