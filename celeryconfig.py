"""Celery's settings, for the web process and the worker alike. Each that is not Celery's default has its reason."""

import os
import sys

from ringback.worker.cork import reading_ahead

# Several nodes of a cluster: amqp://…;amqp://…
broker_url = os.environ.get("BROKER_URL") or os.environ.get("CLOUDAMQP_URL") or "memory://localhost/"
result_backend = os.environ.get("RESULT_BACKEND") or os.environ.get("REDIS_URL") or "rpc://"
override_backends = {
    "rpc": "ringback.worker.replies:ConfirmedReplies",
    "redis": "ringback.worker.replies:RedisReplies",
    "rediss": "ringback.worker.replies:RedisReplies",
}

# Where tasks go by default; Celery's own name, unless several projects share a broker.
task_default_queue = os.environ.get("TASK_QUEUE") or "celery"

# quorum: each queue is kept by most nodes of a cluster, and outlives any one of them.
task_default_queue_type = os.environ.get("TASK_QUEUE_TYPE") or "classic"
task_create_missing_queue_type = task_default_queue_type

# Tasks with a queue of their own, as in RINGBACK_ROUTES="report.*:reports sleep:slow". Worker and web agree on it here.
try:
    task_routes = {
        pattern: {"queue": queue}
        for pattern, queue in (route.rsplit(":", 1) for route in os.environ.get("RINGBACK_ROUTES", "").split())
    }
except ValueError:
    sys.exit(f"RINGBACK_ROUTES={os.environ['RINGBACK_ROUTES']!r}: expected task:queue, and more of them behind spaces")

# JSON only, in and out: a pickle from the network is a program from the network.
task_serializer = result_serializer = "json"
accept_content = ["json"]

# One backend for all greenlets. Celery's default makes one for each task, which cost 1.5 ms of the worker's CPU.
result_backend_thread_safe = True

# Replies survive a restart of the broker.
result_persistent = True

broker_transport_options = {}
if broker_url.startswith(("amqp", "pyamqp")):
    # A message costs the worker one recv, and not nine: py-amqp asks for each part of a frame by itself. Whatever its
    # tasks publish is confirmed.
    broker_transport_options = {"confirm_publish": True, "frame_writer": reading_ahead}
if broker_url.startswith("memory:"):
    broker_transport_options = {"polling_interval": 0.01}  # seconds; kombu's default of 1 is each request's latency

# Celery would look for it in vain for each message that expires, which is a fifteenth of a worker's CPU.
timezone = "UTC"

# A worker reads each message's body once, and not twice, and its dates with Python's own parser: a seventh of its CPU.
task_annotations = {"*": {"Request": "ringback.worker.request:SinglePassRequest"}}

# A worker notices a silent broker after two heartbeats; Celery's default is 120 s for one. RabbitMQ advises 5 to 20.
broker_heartbeat = 5

# A worker waits for its broker for as long as it takes, at start and later.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_consumer = "ringback.worker.consumer:FastReconnectConsumer"

# After a reconnect Celery counts the prefetch up from another greenlet on the consumer's socket, which breaks it:
# 1 to 3 of 20 tasks were lost (Celery 5.5 to 5.7).
worker_enable_prefetch_count_reduction = False

# What `revoke` needs. Celery's default, and safe in a green worker with worker/control.py alone: with Celery's own, a
# half-open connection stopped the worker (0 of 20 tasks ran).
worker_enable_remote_control = True

# For results in Redis. Without the retries, what ends while Redis is away is lost; without the time-outs, a silent
# Redis is waited for; and with fewer connections than tasks at once, results are lost (24 of 8000 at redis-py's 100).
result_backend_always_retry = True
result_backend_max_sleep_between_retries_ms = 1000
redis_socket_timeout = 3  # seconds
redis_socket_connect_timeout = 2  # seconds
redis_max_connections = 1000
