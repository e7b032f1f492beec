"""Celery's settings for both the web process and the worker, each with its reason.

``ringback.worker.configure(app)`` in ``tasks.py`` makes the settings that only a worker needs.
"""

import os
import sys


def first(*names):
    """The first of these variables of the environment that is set."""
    return next((value for value in map(os.environ.get, names) if value), "")


# Several nodes of a cluster: amqp://…;amqp://…  Celery itself takes the first of these variables before any setting.
broker_url = first("CELERY_BROKER_URL", "BROKER_URL", "CLOUDAMQP_URL") or "memory://localhost/"

# Where results are stored, and published: in the broker if it is Redis. Any other broker brings the replies itself.
on_redis = broker_url.startswith(("redis", "sentinel"))
result_backend = first("CELERY_RESULT_BACKEND", "RESULT_BACKEND") or (broker_url if on_redis else "rpc://")

# The default queue: Celery's own name, unless several projects share a broker.
task_default_queue = os.environ.get("TASK_QUEUE") or "celery"

# quorum: each queue is kept by most nodes of a cluster, and outlives any one of them.
task_default_queue_type = os.environ.get("TASK_QUEUE_TYPE") or "classic"
task_create_missing_queue_type = task_default_queue_type

# Separate queues for tasks, as in RINGBACK_ROUTES="report.*:reports sleep:slow". Worker and web share this setting.
try:
    task_routes = {
        pattern: {"queue": queue}
        for pattern, queue in (route.rsplit(":", 1) for route in os.environ.get("RINGBACK_ROUTES", "").split())
    }
except ValueError:
    sys.exit(f"RINGBACK_ROUTES={os.environ['RINGBACK_ROUTES']!r}: expected task:queue, and more of them behind spaces")

# JSON only, in and out: unpickling data from the network would run its code.
task_serializer = result_serializer = "json"
accept_content = ["json"]

# One backend for all greenlets. Celery's default makes one for each task or request: 1.5 ms of CPU time.
result_backend_thread_safe = True

broker_transport_options = {}
if redis_master := os.environ.get("REDIS_MASTER"):  # the name by which Sentinel knows it
    broker_transport_options = result_backend_transport_options = {"master_name": redis_master}
if broker_url.startswith(("amqp", "pyamqp")):
    broker_transport_options = {"confirm_publish": True}  # a message is published once the broker has confirmed it

# Seconds after which a task is ended, so that none keeps its slot for ever.
task_time_limit = int(os.environ.get("TASK_TIME_LIMIT") or 300)

# Seconds for which results stay in Redis. They are read as soon as they are there.
result_expires = 3600

# Without this setting, Celery looks up the machine's time zone for each message that expires.
timezone = "UTC"
