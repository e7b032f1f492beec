"""What both ends of a connection share: fewer system calls, confirms, TLS, and the way back after a lost connection.

The web process and ``ringback.worker`` use these modules. They import the standard library, kombu and py-amqp, and
nothing of gevent, Tornado, Celery or the other wings.
"""

from ringback.wire.backoff import Backoff, ReconnectBackoff
from ringback.wire.collector import relieve_the_garbage_collector
from ringback.wire.confirms import ConfirmTracker
from ringback.wire.cork import Cork, cork_until_read, read_ahead
from ringback.wire.reconnect import keep_connected
from ringback.wire.tls import CheckedConnection, check_certificates, redis_tls

__all__ = [
    "Backoff",
    "CheckedConnection",
    "ConfirmTracker",
    "Cork",
    "ReconnectBackoff",
    "check_certificates",
    "cork_until_read",
    "keep_connected",
    "read_ahead",
    "redis_tls",
    "relieve_the_garbage_collector",
]
