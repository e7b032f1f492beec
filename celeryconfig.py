"""Celery's settings, for the web process and the worker alike. Each that is not Celery's default has its reason."""

import os
from functools import partial
from typing import ClassVar

from celery.backends.rpc import RPCBackend
from celery.worker.consumer import Consumer
from kombu.exceptions import OperationalError


class PromptConsumer(Consumer):
    """Tries to reach a lost broker every second, and no longer than 4 s. No setting does that under gevent."""

    def __init__(self, *args, **kwargs):
        """As Celery's, which takes the time-out away, for a gevent bug of old: its workers then hang for ever."""
        super().__init__(*args, **kwargs)
        self.app.conf.broker_connection_timeout = 4

    def ensure_connected(self, conn):
        """As Celery's, whose pauses grow by 2 s, up to 30 s."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=1)
        return super().ensure_connected(conn)


class PatientReplies(RPCBackend):
    """Sends a reply until the broker has confirmed it; Celery gives up after 20 s and makes the task a failure.

    So a worker that is told to end while its broker is away waits for the broker; told a second time, it ends.
    """

    retry_policy: ClassVar = {
        "max_retries": None,
        "interval_start": 0,  # seconds, like the next two
        "interval_step": 0.5,
        "interval_max": 1,
        "retry_errors": (OperationalError,),  # a new connection of the pool that cannot be made
    }

    def store_result(self, task_id, result, state, traceback=None, request=None, **kwargs):
        """As Celery's, but a broker that says nothing for 10 s is taken for lost: Celery would wait for ever."""
        routing_key, correlation_id = self.destination_for(task_id, request)
        if not routing_key:
            return None
        with self.app.amqp.producer_pool.acquire(block=True) as producer:
            producer.publish(
                self._to_result(task_id, state, result, traceback, request),
                exchange=self.exchange,
                routing_key=routing_key,
                correlation_id=correlation_id,
                serializer=self.serializer,
                delivery_mode=self.delivery_mode,
                retry=True,
                retry_policy=self.retry_policy,
                timeout=10,
                confirm_timeout=10,
            )
        return result


broker_url = os.environ.get("BROKER_URL") or os.environ.get("CLOUDAMQP_URL") or "memory://localhost/"
result_backend = os.environ.get("RESULT_BACKEND") or os.environ.get("REDIS_URL") or "rpc://"
override_backends = {"rpc": f"{__name__}:PatientReplies"}

# Where tasks go by default; Celery's own name, unless several projects share a broker.
task_default_queue = os.environ.get("TASK_QUEUE") or "celery"

# JSON only, in and out: a pickle from the network is a program from the network.
task_serializer = result_serializer = "json"
accept_content = ["json"]

# One backend for all greenlets. Celery's default makes one for each task: 2.2 ms of the worker's CPU, with this 0.65.
result_backend_thread_safe = True

# Replies survive a restart of the broker.
result_persistent = True

# The worker knows that its reply has arrived. Without, all replies sent into a dying connection were lost.
broker_transport_options = {"confirm_publish": True}
if broker_url.startswith("memory:"):
    broker_transport_options = {"polling_interval": 0.01}  # seconds; kombu's default of 1 is each request's latency

# A worker notices a silent broker after two heartbeats; Celery's default is 120 s for one. RabbitMQ advises 5 to 20.
broker_heartbeat = 5

# A worker waits for its broker for as long as it takes, at start and later.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_consumer = f"{__name__}:PromptConsumer"

# After a reconnect Celery counts the prefetch up from another greenlet on the consumer's socket, which breaks it:
# 1 to 3 of 20 tasks were lost (Celery 5.5 to 5.7).
worker_enable_prefetch_count_reduction = False

# The remote control's greenlet waits for ever on a connection that is half-open, and the worker with it; and two
# workers with one node name break each other's control queue. The price: no `celery inspect`, no revoke.
worker_enable_remote_control = False

# For results in Redis. Without the retries, what ends while Redis is away is lost; without the time-outs, a silent
# Redis is waited for; and with fewer connections than tasks at once, results are lost (24 of 8000 at redis-py's 100).
result_backend_always_retry = True
result_backend_max_sleep_between_retries_ms = 1000
redis_socket_timeout = 3  # seconds
redis_socket_connect_timeout = 2  # seconds
redis_max_connections = 1000
