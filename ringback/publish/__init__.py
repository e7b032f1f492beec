"""Out: from ``task.delay()`` to a message that the broker has confirmed.

A Celery call becomes a ``Message`` (``celery_amqp``, ``templates``), waits in the ``Outbox``, and is written to the
broker by the ``Publisher``'s greenlets. Imports ``broker`` and ``wire``, and nothing of the way back.
"""

from ringback.broker import Message
from ringback.publish.celery_amqp import OutboxAMQP
from ringback.publish.outbox import Outbox
from ringback.publish.publisher import Publisher

__all__ = ["Message", "Outbox", "OutboxAMQP", "Publisher"]
