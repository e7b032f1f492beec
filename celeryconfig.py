"""Celery's settings, for the web process and the worker alike. Each that is not Celery's default has its reason."""

import os

broker_url = os.environ.get("BROKER_URL") or os.environ.get("CLOUDAMQP_URL") or "memory://localhost/"
result_backend = os.environ.get("RESULT_BACKEND") or os.environ.get("REDIS_URL") or "rpc://"

# JSON only, in and out: a pickle from the network is a program from the network.
task_serializer = result_serializer = "json"
accept_content = ["json"]

# Replies survive a restart of the broker.
result_persistent = True

broker_connection_retry_on_startup = True

if broker_url.startswith("memory:"):
    broker_transport_options = {"polling_interval": 0.01}  # seconds; kombu's default of 1 is each request's latency
