"""The names of other libraries that are no public interface and that this package uses, and the check that they exist.

A library may rename or remove them in any release. So they are looked for when the package is installed in an app or a
worker, and what is missing is reported with the versions that are tested, before it could fail in production.

An entry names a class or function, and after ``uses`` an attribute that its code must mention, for names that exist on
instances only. Runs once, at the start; pure but for the imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from types import CodeType
from typing import Any

from ringback.errors import UnsupportedVersion

#: What the tests run on.
TESTED = {
    "celery": "5.5 to 5.7",
    "kombu": "5.5 to 5.7",
    "amqp": "5.3 to 5.4",
    "gevent": "24.11 to 26",
    "tornado": "6.5 to 6.6",
}

#: For ``calls``, ``publish`` and ``replies``.
CELERY = (
    "celery._state:get_current_worker_task",
    "celery.app.amqp:AMQP._create_task_sender",
    "celery.app.amqp:AMQP.send_task_message",
    "celery.app.base:Celery._backend uses _local",
    "celery.app.base:Celery.thread_oid uses _local",
    "celery.app.base:Celery.send_task uses send_task_message on_task_call",
    "celery.app.routes:MapRoute",
    "celery.backends.asynchronous:AsyncBackendMixin.remove_pending_result",
    "celery.backends.asynchronous:BaseResultConsumer.__init__ uses _pending_results buckets on_message",
    "celery.backends.asynchronous:BaseResultConsumer.on_state_change uses _maybe_set_cache",
    "celery.backends.asynchronous:greenletDrainer._send_drain_complete_event",
    "celery.backends.asynchronous:geventDrainer",
    "celery.backends.asynchronous:greenletDrainer.run uses _started _stopped _shutdown",
    "celery.backends.asynchronous:greenletDrainer.wait_for uses _drain_complete_event",
    "celery.backends.base:Backend.meta_from_decoded",
    "celery.backends.rpc:RPCBackend.binding",
    "celery.backends.rpc:RPCBackend.on_task_call",
    "celery.loaders.base:BaseLoader.override_backends",
    "celery.result:AsyncResult.__del__",
    "celery.result:AsyncResult._maybe_set_cache uses _set_cache on_ready",
    "celery.result:AsyncResult._set_cache uses _cache",
    "celery.result:AsyncResult.ignored uses _ignored",
)

#: For the connections of ``broker``, ``publish`` and ``wire``.
AMQP = (
    "amqp.connection:Connection.connect uses frame_writer_cls",
    "amqp.basic_message:Message._serialize_properties",
    "amqp.method_framing:frame_writer uses _serialize_properties",
    "amqp.transport:TCPTransport._setup_transport uses _quick_recv",
    "amqp.transport:_AbstractTransport.connect uses sock",
    "celery.app.base:Celery._connection uses amqp Connection",
    "kombu.connection:Connection.collect",
    "kombu.connection:Connection.create_transport uses get_transport_cls",
    "kombu.transport.pyamqp:Transport.establish_connection uses client",
    "kombu.transport.pyamqp:SSLTransport",
    "kombu.transport.pyamqp:Transport.heartbeat_check",
)

#: For results in Redis.
REDIS_RESULTS = ("celery.backends.redis:RedisBackend._create_client",)

#: For a broker that is Redis.
REDIS_BROKER = (
    "kombu.transport.redis:Channel._connparams",
    "kombu.transport.redis:Channel.__init__ uses client",
    "kombu.transport.redis:Channel._create_client uses async_pool pool",
    "kombu.transport.redis:Channel._get_publish_topic",
    "kombu.transport.redis:Channel._q_for_pri",
    "kombu.transport.redis:Channel.get_table",
    "kombu.transport.virtual.base:Channel._get_message_priority",
    "kombu.transport.virtual.base:Channel._inplace_augment_message",
    "redis.connection:AbstractConnection.disconnect uses _sock",
)

#: For ``web``. On Python 3.10 the loop is asyncio's own.
LOOP = (
    "asyncio.selector_events:BaseSelectorEventLoop._write_to_self",
    "gevent.selectors:GeventSelector.select uses _ready",
    "tornado.http1connection:HTTP1Connection._on_connection_close uses _close_callback",
    "tornado.http1connection:HTTP1Connection.write_headers uses _response_start_line",
    "tornado.web:RequestHandler.finish uses _finished",
    "tornado.web:RequestHandler._execute uses _auto_finish",
)

#: For ``worker``.
WORKER = (
    "celery.backends.base:Backend._get_result_meta",
    "celery.backends.base:Backend.store_result uses _store_result",
    "celery.backends.rpc:RPCBackend._to_result",
    "celery.backends.rpc:RPCBackend.destination_for",
    "celery.worker.consumer:Consumer.Blueprint.default_steps",
    "celery.app.trace:build_tracer uses EncodeError mark_as_done",
    "celery.worker.consumer:Consumer.ensure_connected",
    "celery.worker.consumer:Consumer.on_close uses controller",
    "celery.worker.consumer:Consumer.on_connection_error_after_connected uses collect",
    "celery.worker.consumer:Consumer.start uses broker_channel_error_retry channel_errors",
    "celery.worker.consumer:Control.include_if",
    "celery.worker.loops:synloop uses drain_events",
    "celery.worker.pidbox:Pidbox.on_message",
    "celery.worker.pidbox:gPidbox.loop",
    "celery.worker.request:Request._tzlocal",
    "celery.worker.request:Request.__init__ uses _decoded _body",
    "kombu.pidbox:Node.reply",
)

#: For a green worker of a broker that is Redis.
REDIS_WORKER = (
    "kombu.transport.redis:QoS.append uses unacked_key unacked_index_key pipe_or_acquire",
    "kombu.transport.redis:QoS.restore_unacked",
    "kombu.transport.redis:Channel._brpop_start uses _in_poll _queue_cycle active_queues priority_steps _q_for_pri",
    "kombu.transport.redis:Channel._brpop_read uses _deliver rotate",
    "kombu.transport.redis:MultiChannelPoller.get",
    "kombu.transport.redis:MultiChannelPoller.__init__ uses _channels",
    "kombu.transport.virtual.base:QoS.can_consume_max_estimate",
    "kombu.transport.virtual.base:Channel.qos uses QoS",
    "kombu.transport.virtual.base:Message.__init__ uses _raw",
)

WEB_PROCESS = CELERY + AMQP + LOOP
WORKER_PROCESS = WORKER + AMQP
ALL = WEB_PROCESS + WORKER_PROCESS + REDIS_RESULTS + REDIS_BROKER + REDIS_WORKER


def check(names: Sequence[str]) -> None:
    """Check that all these names exist.

    :raises UnsupportedVersion: it lists the missing ones.
    """
    missing = [name for name in names if not _exists(name)]
    if missing:
        libraries = sorted({name.partition(".")[0] for name in missing} & TESTED.keys())
        found = ", ".join(f"{library} {version(library)} (tested: {TESTED[library]})" for library in libraries)
        raise UnsupportedVersion(
            f"ringback needs names that are missing here: {'; '.join(missing)}. Installed: {found or 'this Python'}."
            " Install a tested version, as in pip install 'celery>=5.5,<5.8'"
        )


def _exists(name: str) -> bool:
    place, _, used = name.partition(" uses ")
    module, _, path = place.partition(":")
    try:
        thing = reduce(_member, path.split("."), import_module(module))
    except (ImportError, AttributeError):
        return False
    return {*used.split()} <= _mentioned(thing)


def _member(owner: Any, name: str) -> Any:
    """An attribute, as the class has it: a property is not asked for its value."""
    for base in owner.__mro__ if isinstance(owner, type) else ():
        if name in vars(base):
            return vars(base)[name]
    return getattr(owner, name)


def _mentioned(thing: Any) -> set[str]:
    """The attributes that a function's code mentions, nested functions included."""
    function = getattr(thing, "fget", None) or getattr(thing, "__wrapped__", thing)
    code = getattr(function, "__code__", None)
    return set() if code is None else _names(code)


def _names(code: CodeType) -> set[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names}.union(*map(_names, nested))
