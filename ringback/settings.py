"""What can be set, and why each number is what it is. Read once from the environment; any greenlet may read it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ringback.errors import BadSetting

T = TypeVar("T", int, float)

#: What may become of a run whose last client has gone.
CLIENT_GONE = ("keep", "revoke", "terminate")


@dataclass(frozen=True)
class Settings:
    """Times are in seconds."""

    #: How long a request may wait for its result. Heroku's router ends a request at 30 s without telling the app.
    deadline: float = 25.0
    #: How long a message may wait for the broker's confirm. Under the 5 s of the impatient webhook senders.
    publish_timeout: float = 3.0
    #: Calls that may be waited for. 12 KiB each if a request is held, so 240 MB of a 512-MB dyno.
    held_limit: int = 20_000
    #: Messages that may wait for the broker: 3 s of more traffic than one process can take.
    outbox_limit: int = 5000
    #: Tasks that may wait in a queue, as the broker counts them; 0 for any number.
    max_queue: int = 0
    #: Bytes of a request's body: what nginx lets through by default. 100 of them at once in the relay take 430 MB.
    body_limit: int = 2**20
    #: How long a connection may take until it has sent the headers of its next request. Heroku's router keeps idle
    #: connections to us for up to 90 s, nginx for 60 s; to close one before would race with their next request.
    idle_timeout: float = 95.0
    #: How long a whole body may take to arrive. Heroku's router ends a request at 30 s.
    body_timeout: float = 30.0
    #: How long held requests may take after SIGTERM. Heroku kills 30 s after it.
    grace: float = 25.0
    #: Who may call: each token with the patterns of its tasks. None at all: everybody may, which loopback is for.
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Whether everybody may call on a public address, too.
    open_to_all: bool = False
    #: The tasks that may be called over HTTP; ``None`` for all that the app has. Never ``celery.*``.
    tasks: tuple[str, ...] | None = None
    #: Queues that a caller may choose, beside those that the Celery app knows. Any name would be made by the broker.
    queues: tuple[str, ...] = ()
    #: Calls a second for each caller; 0 for any number.
    rate: float = 0.0
    #: How long a run that has ended is kept for polls and idempotency keys: as long as webhook senders retry.
    keep: float = 86_400.0
    #: The memory for their results, in bytes; beyond it the oldest are forgotten.
    keep_bytes: int = 64 * 2**20
    #: What becomes of a run once the last client that waits for it has gone: task pattern to policy.
    client_gone: Mapping[str, str] = field(default_factory=dict)
    #: The tasks whose result is a whole HTTP answer.
    http_answers: tuple[str, ...] = ()
    #: Whether callers see the traceback of a failed task.
    tracebacks: bool = False
    #: The origins whose pages may call, beside the own one.
    cors: tuple[str, ...] = ()
    #: The token of a WeChat official account; empty for none.
    wechat_token: str = ""
    #: The task that replies to its messages, which it gets as dicts.
    wechat_task: str = ""
    #: Whether it gets the XML instead, as it came.
    wechat_raw: bool = False
    #: What WeChat gets where there is no reply: "success", or nothing; both mean that none is shown.
    wechat_fallback: str = "success"
    #: Where several processes share their runs; empty for each its own.
    redis_url: str = ""
    #: How long the reply queue outlives its process: longer than any outage worth surviving.
    reply_queue_expires: float = 600.0
    #: A silent broker is given up after twice this. RabbitMQ advises against less than 5 (false alarms).
    heartbeat: float = 5.0
    #: Time for one attempt to connect. Short, so that the attempt after the broker's return comes soon.
    connect_timeout: float = 2.0


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings, as ``RINGBACK_*`` variables change them.

    :raises BadSetting: a value cannot be used; the message names the variable.
    """
    return Settings(
        deadline=_number(environ, "RINGBACK_DEADLINE", float, Settings.deadline),
        publish_timeout=_number(environ, "RINGBACK_PUBLISH_TIMEOUT", float, Settings.publish_timeout),
        outbox_limit=_number(environ, "RINGBACK_OUTBOX_LIMIT", int, Settings.outbox_limit),
        max_queue=_number(environ, "RINGBACK_MAX_QUEUE", int, Settings.max_queue),
        body_limit=_number(environ, "RINGBACK_BODY_LIMIT", int, Settings.body_limit),
        idle_timeout=_number(environ, "RINGBACK_IDLE_TIMEOUT", float, Settings.idle_timeout),
        body_timeout=_number(environ, "RINGBACK_BODY_TIMEOUT", float, Settings.body_timeout),
        grace=_number(environ, "RINGBACK_GRACE", float, Settings.grace),
        held_limit=_number(environ, "RINGBACK_HELD_LIMIT", int, Settings.held_limit),
        tokens=_tokens(environ),
        open_to_all=_yes(environ, "RINGBACK_OPEN"),
        tasks=_words(environ, "RINGBACK_TASKS") or None,
        queues=_words(environ, "RINGBACK_QUEUES"),
        rate=_number(environ, "RINGBACK_RATE", float, Settings.rate),
        keep=_number(environ, "RINGBACK_KEEP", float, Settings.keep),
        keep_bytes=_number(environ, "RINGBACK_KEEP_BYTES", int, Settings.keep_bytes),
        client_gone=_policies(environ),
        http_answers=_words(environ, "RINGBACK_HTTP_ANSWERS"),
        tracebacks=_yes(environ, "RINGBACK_TRACEBACKS"),
        cors=_words(environ, "RINGBACK_CORS"),
        wechat_token=environ.get("RINGBACK_WECHAT_TOKEN", ""),
        wechat_task=_wechat_task(environ),
        wechat_raw=_yes(environ, "RINGBACK_WECHAT_RAW"),
        wechat_fallback=environ.get("RINGBACK_WECHAT_FALLBACK", Settings.wechat_fallback),
        redis_url=environ.get("REDIS_URL", ""),
    )


def processes(environ: Mapping[str, str] = os.environ) -> int:
    """How many web processes ``WEB_CONCURRENCY`` asks for.

    :raises BadSetting: it is no number of them.
    """
    return _number(environ, "WEB_CONCURRENCY", int, 1)


def port(text: str) -> int:
    """The TCP port that this text gives; 0 stands for a free one.

    :raises BadSetting: it is not a port number.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise BadSetting(f"port {text!r}: --port, or else PORT, takes a number from 0 to 65535")
    return int(text)


def _number(environ: Mapping[str, str], name: str, kind: Callable[[str], T], default: T) -> T:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError as error:
        raise BadSetting(f"{name}={text!r}: expected {'a whole' if kind is int else 'a'} number") from error
    if not 0 < value < float("inf"):
        raise BadSetting(f"{name}={text!r}: expected a number above 0")
    return value


def _words(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The words of a value, between commas or blanks."""
    return tuple(environ.get(name, "").replace(",", " ").split())


def _yes(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "")
    if text not in ("", "0", "1"):
        raise BadSetting(f"{name}={text!r}: expected 1 or 0")
    return text == "1"


def _tokens(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """``RINGBACK_TOKENS="s3cret:add,task.* other"``: tokens between blanks, each with the patterns of its tasks."""
    tokens = {}
    for entry in environ.get("RINGBACK_TOKENS", "").split():
        token, _, patterns = entry.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):  # b64token of RFC 6750, 2.1
            raise BadSetting("RINGBACK_TOKENS: a token has letters, digits and -._~+/ only, as in 's3cret:add,task.*'")
        tokens[token] = tuple(patterns.split(",")) if patterns else ("*",)
    return tokens


def _policies(environ: Mapping[str, str]) -> dict[str, str]:
    """``RINGBACK_CLIENT_GONE="report.*:revoke slow:terminate"``."""
    policies = dict(entry.rpartition(":")[::2] for entry in environ.get("RINGBACK_CLIENT_GONE", "").split())
    for pattern, policy in policies.items():
        if not pattern or policy not in CLIENT_GONE:
            raise BadSetting(
                f"RINGBACK_CLIENT_GONE: {pattern}:{policy} is no pattern:policy of {', '.join(CLIENT_GONE)}"
            )
    return policies


def _wechat_task(environ: Mapping[str, str]) -> str:
    task = environ.get("RINGBACK_WECHAT_TASK", "")
    if environ.get("RINGBACK_WECHAT_TOKEN") and not task:
        raise BadSetting("RINGBACK_WECHAT_TOKEN is set, so RINGBACK_WECHAT_TASK has to name the task that replies")
    return task
