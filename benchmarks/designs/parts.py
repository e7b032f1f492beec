"""The parts of ``ringback.worker.configure``, each with the project's settings that switch it off."""

from typing import Any

from amqp.method_framing import frame_writer

NONE = ""

PARTS: dict[str, dict[str, Any]] = {
    NONE: {},
    "replies on one link": {"override_backends": {"rpc": "celery.backends.rpc:RPCBackend"}},
    "one backend for all greenlets": {"result_backend_thread_safe": False},
    "our consumer": {"worker_consumer": "celery.worker.consumer:Consumer"},
    "decoding once": {},
    "reading ahead": {"broker_transport_options": {"frame_writer": frame_writer}},
}
