"""Back: from the reply queue, or Redis, to the call that waits for the reply.

``drainer`` holds what both ways share; ``amqp`` reads the reply queue of ``rpc://``, ``redis`` the channels of
``redis://``. Imports ``broker`` and ``wire``, and nothing of the way out. ``redis`` is imported only where it is used.
"""

from ringback.replies.drainer import JSON, ReplyConsumer

#: Our result backends, by the scheme of Celery's ``result_backend``.
BACKENDS = {
    "rpc": "ringback.replies.amqp:ReplyQueueBackend",
    "redis": "ringback.replies.redis:ChannelBackend",
    "rediss": "ringback.replies.redis:ChannelBackend",
    "sentinel": "ringback.replies.redis:SentinelChannelBackend",
}

__all__ = ["BACKENDS", "JSON", "ReplyConsumer"]
