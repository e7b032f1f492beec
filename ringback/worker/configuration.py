"""The settings of a worker, each with its reason. They are defaults: a setting of the project itself wins.

Runs in a worker's main process, before it connects.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from celery.app.defaults import DEFAULTS
from celery.signals import celeryd_init
from kombu.transport import get_transport_cls
from kombu.utils.imports import symbol_by_name

from ringback import upgrade_guard
from ringback.errors import BadSetting
from ringback.settings import check_url, without_password
from ringback.wire import check_certificates, read_ahead

#: For every worker.
ALWAYS = {
    # A worker waits for its broker for as long as it takes, at the start and later.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_consumer": "ringback.worker.consumer:FastReconnectConsumer",
    # One backend for all greenlets or threads. Celery's default makes one for each task: 1.5 ms of CPU time.
    "result_backend_thread_safe": True,
}

#: For every worker, from its command line on, which reads this before there is a worker. Tasks that a worker takes
#: before it can do them wait where no other worker, and no gateway, sees them: with Celery's default four times as many
#: as it does at once, so for 8 s if each takes 2 s.
EARLY = {"worker_prefetch_multiplier": 1}

#: For pools of greenlets.
GREEN = {
    # After a reconnect Celery raises the prefetch count from another greenlet on the consumer's socket, which breaks
    # the connection: 1 to 3 of 20 tasks were lost (Celery 5.5 to 5.7).
    "worker_enable_prefetch_count_reduction": False,
}

#: For a broker that speaks AMQP.
AMQP = {
    # A broker closes a channel when a task is held for longer than its ``consumer_timeout`` (RabbitMQ: 30 min), as one
    # with a ``countdown``, or for a fault that passes. Celery's default ends the consumer, and the process stays.
    "broker_channel_error_retry": True,
    # A silent broker is noticed after two heartbeats; Celery's default is 120 s for one. RabbitMQ advises 5 to 20.
    "broker_heartbeat": 5,
}

#: The schemes of Redis' addresses, but for what is behind a plus sign.
ON_REDIS = ("redis", "rediss", "sentinel")

#: Beside the project's own ``broker_transport_options``: what tasks publish is confirmed, and a message costs one recv
#: and not nine.
AMQP_TRANSPORT = {"confirm_publish": True, "frame_writer": read_ahead}

#: For a broker that is Redis, beside the project's own ``broker_transport_options``. Kombu would wait for ever on a
#: connection that is dead, or (from 5.7 on) for 26 s. Seconds.
REDIS_TRANSPORT = {"health_check_interval": 3, "socket_timeout": 5, "socket_connect_timeout": 2}

#: For a broker that is Redis.
REDIS_BROKER = {
    # What Redis refuses for now, as while its memory is full or a replica has not yet taken the master's place, ends
    # the worker by default. It connects again instead.
    "broker_channel_error_retry": True,
}

#: For the broker inside a process: seconds until it looks again, which kombu's default makes each request's latency.
MEMORY_TRANSPORT = {"polling_interval": 0.01}

TRANSPORTS: dict[str, dict[str, Any]] = {
    "memory": MEMORY_TRANSPORT,
    **dict.fromkeys(ON_REDIS, REDIS_TRANSPORT),
}

#: For results over ``rpc://``.
RPC = {
    # Replies survive a restart of the broker.
    "result_persistent": True,
}

#: For results in Redis.
REDIS = {
    # Without the retries a result is lost that comes while Redis is away; without the time-outs the worker waits for a
    # silent Redis; with fewer connections than tasks at once results are lost (24 of 8000 with redis-py's 100).
    "result_backend_always_retry": True,
    "result_backend_max_sleep_between_retries_ms": 1000,
    "redis_socket_timeout": 3,  # seconds
    "redis_socket_connect_timeout": 2,  # seconds
    "redis_max_connections": 1000,
}

#: Our result backends, by the scheme of ``result_backend``.
BACKENDS = {
    "rpc": "ringback.worker.backends:ConfirmedReplies",
    "redis": "ringback.worker.backends:RedisReplies",
    "rediss": "ringback.worker.backends:RedisReplies",
    "sentinel": "ringback.worker.backends:SentinelReplies",
}

REQUEST = "ringback.worker.request:SinglePassRequest"


def configure(app: Celery) -> None:
    """Have the workers of this app lose nothing and use less CPU time. Call it once, in the app's module.

    It has an effect in ``celery worker`` processes only, and sets what is safe for the app's broker, result backend and
    pool. Each setting is a default: set it in the project's configuration to overrule it.

    :raises UnsupportedVersion: Celery or py-amqp lacks a name that this needs.
    """
    upgrade_guard.check(upgrade_guard.WORKER_PROCESS)
    if app.configured:
        _set_defaults(app.conf, EARLY)
    else:
        app.on_after_configure.connect(lambda sender, source, **_: _set_defaults(source, EARLY), weak=False)
    celeryd_init.connect(partial(_on_worker, app), weak=False)


def apply(app: Celery, pool: str) -> None:
    """Set the defaults for a worker with this pool, as its class or Celery's name for it."""
    conf, green = app.conf, bool(_pool_class(pool).is_green)
    check_certificates(app)
    given = conf.broker_read_url or "amqp://"  # of several nodes a list, or one string
    broker = (given if isinstance(given, str) else given[0]).partition(":")[0]
    amqp = broker in ("amqp", "amqps", "pyamqp")
    backend = str(conf.result_backend or "").partition(":")[0].partition("+")[0]
    _set_defaults(
        conf,
        {
            **ALWAYS,
            **(GREEN if green else {}),
            **(AMQP if amqp else {}),
            **(REDIS_BROKER if broker.partition("+")[0] in ON_REDIS else {}),
            **(RPC if backend == "rpc" else {}),
            **(REDIS if backend in ON_REDIS else {}),
        },
    )
    transport = AMQP_TRANSPORT if amqp else TRANSPORTS.get(broker.partition("+")[0])
    if transport:
        conf.broker_transport_options = {**transport, **(conf.broker_transport_options or {})}
    for task in app.tasks.values():
        if task.Request == "celery.worker.request:Request":  # else the project has its own
            task.Request = REQUEST


def check_addresses(app: Celery) -> None:
    """End the worker if an address cannot be read: the libraries would quote its password in their errors."""
    conf = app.conf
    brokers = [conf.broker_read_url, conf.broker_write_url]
    nodes = [node for given in brokers for node in ([given] if isinstance(given, str) else given or [])]
    backend = [conf.result_backend] if isinstance(conf.result_backend, str) else []
    try:
        for node in nodes:
            for url in node.split(";"):
                check_url("broker_url", url)
                _check_transport(url)
        for url in backend:
            check_url("result_backend", url)
    except BadSetting as error:
        raise SystemExit(f"ringback: {error}") from None  # a signal's receiver cannot end the worker otherwise


def _check_transport(url: str) -> None:
    scheme, separator, _ = url.partition("://")
    try:
        if separator:  # else it is a host, of the default broker
            get_transport_cls(scheme.partition("+")[0])
    except KeyError:
        raise BadSetting(f"broker_url: {without_password(url)!r} is no broker that kombu knows") from None


def _set_defaults(conf: Any, defaults: dict[str, Any]) -> None:
    """Set what the project has not set. Celery's own ``add_defaults`` goes before a project's configuration module."""
    for name, value in defaults.items():
        if not _is_set(conf, name):
            conf[name] = value


def _is_set(conf: Any, name: str) -> bool:
    """Whether the project has set this, under its name, with its prefix (``CELERY_``), or by a name of Celery 3."""
    names = (name, f"{conf.prefix or ''}{name}", f"{conf.prefix or ''}{name}".upper())
    return any(conf.value_set_for(one) for one in names) or conf.get(name) != DEFAULTS.get(name)


def _on_worker(app: Celery, sender: object, instance: Any, options: dict[str, Any], **_: object) -> None:
    if instance.app is app:
        check_addresses(app)
        app.loader.override_backends = {**BACKENDS, **app.loader.override_backends}
        apply(app, options.get("pool_cls") or options.get("pool") or app.conf.worker_pool)


def _pool_class(pool: Any) -> Any:
    """The class of a pool, which may be given by Celery's name for it."""
    from celery.concurrency import get_implementation

    return get_implementation(pool) if isinstance(pool, str) else symbol_by_name(pool)
