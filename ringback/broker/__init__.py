"""One connection to the message broker that cannot hang its owner, and how long the broker's queues are.

Imports no other wing but ``wire``.
"""

from ringback.broker.config import broker_urls, check_broker, queue_arguments
from ringback.broker.link import Link
from ringback.broker.queue_depths import Depth, QueueDepths

__all__ = ["Depth", "Link", "QueueDepths", "broker_urls", "check_broker", "queue_arguments"]
