"""The broker: a link to it, of a kind for each kind of broker, the message that it takes, and how long queues are.

A further kind of broker is one module with one class. Imports no other wing but ``wire``.
"""

from ringback.broker.config import broker_urls, check_broker, is_redis, longest_delay, queue_arguments
from ringback.broker.kinds import connect
from ringback.broker.link import Depth, Link
from ringback.broker.message import Message
from ringback.broker.queue_depths import QueueDepths

__all__ = [
    "Depth",
    "Link",
    "Message",
    "QueueDepths",
    "broker_urls",
    "check_broker",
    "connect",
    "is_redis",
    "longest_delay",
    "queue_arguments",
]
