"""What can be set: each setting once, with its variable, its default and its reason. Any greenlet may read it.

``docs/settings.md`` is written from this table by ``make docs``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ringback import setting_values as values
from ringback.errors import BadSetting


def setting(variable: str, default: Any, parse: Callable[[str, str], Any], reason: str) -> Any:
    """A field of the settings.

    :param variable: the environment variable that sets it.
    :param parse: makes the value of the variable's name and text; raises BadSetting.
    :param reason: what it means, and why the default is what it is.
    """
    about = {"variable": variable, "parse": parse, "reason": reason}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Settings:
    """The settings of a gateway. Times are in seconds, sizes in bytes."""

    deadline: float = setting(
        "RINGBACK_DEADLINE",
        25.0,
        values.number,
        "Seconds that a request may wait for its result. Heroku's router ends it at 30 s without telling the app.",
    )
    publish_timeout: float = setting(
        "RINGBACK_PUBLISH_TIMEOUT",
        3.0,
        values.number,
        "Seconds that a message may wait for the broker's confirm, then 503. Less than the 5 s of webhook senders.",
    )
    held_limit: int = setting(
        "RINGBACK_HELD_LIMIT",
        20_000,
        values.whole_number,
        "Calls that may wait for a result, then 503. A held request takes 12 KiB: 240 MB of a 512-MB dyno.",
    )
    outbox_limit: int = setting(
        "RINGBACK_OUTBOX_LIMIT",
        5000,
        values.whole_number,
        "Messages that may wait for the broker, then 503. That is 3 s of more traffic than one process can take.",
    )
    max_queue: int = setting(
        "RINGBACK_MAX_QUEUE", 0, values.whole_number, "Tasks that may wait in a queue, then 503; by default any number."
    )
    body_limit: int = setting(
        "RINGBACK_BODY_LIMIT",
        2**20,
        values.whole_number,
        "Bytes of a request's body, then 413. It is nginx's default; 100 such bodies at once take 430 MB.",
    )
    idle_timeout: float = setting(
        "RINGBACK_IDLE_TIMEOUT",
        95.0,
        values.number,
        "Seconds until a connection has sent its next request's headers, then it is closed. Heroku's router keeps idle"
        " connections for 90 s, nginx for 60 s; closing one earlier would race with their next request.",
    )
    body_timeout: float = setting(
        "RINGBACK_BODY_TIMEOUT",
        30.0,
        values.number,
        "Seconds for a whole body to arrive, then the connection is closed. Heroku's router ends a request at 30 s.",
    )
    grace: float = setting(
        "RINGBACK_GRACE",
        25.0,
        values.number,
        "Seconds for held requests after SIGTERM, then 503. Heroku kills a process 30 s after SIGTERM.",
    )
    tokens: Mapping[str, tuple[str, ...]] = setting(
        "RINGBACK_TOKENS",
        {},
        values.tokens,
        "The callers' tokens, each with the patterns of its tasks: `s3cret:add,task.* other`. A public address needs"
        " them.",
    )
    open_to_all: bool = setting(
        "RINGBACK_OPEN", False, values.flag, "1: every client may call, on a public address, too."
    )
    tasks: tuple[str, ...] | None = setting(
        "RINGBACK_TASKS",
        None,
        values.words_or_none,
        "The tasks that may be called over HTTP: `add,task.*`. By default all of the app's; never `celery.*`.",
    )
    queues: tuple[str, ...] = setting(
        "RINGBACK_QUEUES", (), values.words, "Queues that a caller may choose, beside those that the app knows."
    )
    rate: float = setting(
        "RINGBACK_RATE", 0.0, values.number, "Calls a second for each caller, then 429; by default any number."
    )
    keep: float = setting(
        "RINGBACK_KEEP",
        86_400.0,
        values.number,
        "Seconds for which an ended run can be polled and its answer repeated: as long as webhook senders retry.",
    )
    keep_bytes: int = setting(
        "RINGBACK_KEEP_BYTES",
        64 * 2**20,
        values.whole_number,
        "Bytes for ended runs; beyond it the oldest are dropped.",
    )
    client_gone: Mapping[str, str] = setting(
        "RINGBACK_CLIENT_GONE",
        {},
        values.policies,
        "What happens to a run when its last client has gone: `report.*:revoke slow:terminate`; by default `*:keep`.",
    )
    http_answers: tuple[str, ...] = setting(
        "RINGBACK_HTTP_ANSWERS", (), values.words, "The tasks that return their own `{status, headers, body}`."
    )
    tracebacks: bool = setting(
        "RINGBACK_TRACEBACKS", False, values.flag, "1: callers see the traceback of a failed task."
    )
    cors: tuple[str, ...] = setting(
        "RINGBACK_CORS", (), values.words, "The origins whose pages may call, beside the own origin."
    )
    wechat_token: str = setting(
        "RINGBACK_WECHAT_TOKEN", "", values.text, "The token of a WeChat official account; `/wechat` needs it."
    )
    wechat_task: str = setting(
        "RINGBACK_WECHAT_TASK", "", values.text, "The task that replies to WeChat's messages, which it gets as dicts."
    )
    wechat_raw: bool = setting("RINGBACK_WECHAT_RAW", False, values.flag, "1: that task gets the XML as it came.")
    wechat_fallback: str = setting(
        "RINGBACK_WECHAT_FALLBACK",
        "success",
        values.text,
        "What WeChat gets if there is no reply: `success`, or nothing; with both it shows none.",
    )
    redis_url: str = setting(
        "REDIS_URL", "", values.text, "The Redis where several web processes share their runs. Nothing else uses it."
    )
    #: How long the reply queue outlives its process: longer than any outage worth surviving.
    reply_queue_expires: float = 600.0
    #: A broker that is silent for twice this is given up. RabbitMQ advises against less than 5 (false alarms).
    heartbeat: float = 5.0
    #: Time for one attempt to connect. Short, so that the attempt after the broker's return comes soon.
    connect_timeout: float = 2.0


#: The variables that are not in ``Settings``: each with its default, and what it means.
OTHER_VARIABLES = {
    "BROKER_URL": (
        "`memory://localhost/`",
        "The broker, or the nodes of a cluster: `amqp://…;amqp://…`. Without one, broker and worker live in the web"
        " process.",
    ),
    "CLOUDAMQP_URL": ("", "As `BROKER_URL`, which wins; Heroku's add-on sets it."),
    "RESULT_BACKEND": ("`rpc://`", "How results come back: `rpc://`, or `redis://…`."),
    "PORT": ("8888", "The TCP port, as `--port`."),
    "WEB_CONCURRENCY": ("1", "Web processes that are forked; with `REDIS_URL` they share their runs."),
    "TASK_QUEUE": ("`celery`", "The queue of tasks that are not routed elsewhere."),
    "TASK_QUEUE_TYPE": ("`classic`", "`quorum`: queues that outlive a node of a cluster."),
    "RINGBACK_ROUTES": ("", "The template's tasks with a queue of their own: `report.*:reports sleep:slow`."),
    "WORKER_QUEUES": ("the default queue", "The queues that the template's worker takes from."),
    "WORKER_CONCURRENCY": ("500", "Tasks at once in the template's worker."),
    "DATABASE_URL": ("`sqlite:///examples.sqlite3`", "The database of the examples."),
}


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the environment.

    :raises BadSetting: a value cannot be used; the message names the variable.
    """
    given = {}
    for each in fields(Settings):
        variable = each.metadata.get("variable", "")
        text = environ.get(variable)
        if text or (text is not None and each.metadata["parse"] is values.text):
            given[each.name] = each.metadata["parse"](variable, text)
    settings = Settings(**given)
    if settings.wechat_token and not settings.wechat_task:
        raise BadSetting("RINGBACK_WECHAT_TOKEN is set, so RINGBACK_WECHAT_TASK has to name the task that replies")
    return settings


def processes(environ: Mapping[str, str] = os.environ) -> int:
    """How many web processes ``WEB_CONCURRENCY`` asks for.

    :raises BadSetting: it is not a whole number above 0.
    """
    return values.whole_number("WEB_CONCURRENCY", environ.get("WEB_CONCURRENCY") or "1")


def port(text: str) -> int:
    """The TCP port that this text gives; 0 stands for a free one.

    :raises BadSetting: it is not a port number.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise BadSetting(f"port {text!r}: --port, or else PORT, takes a number from 0 to 65535")
    return int(text)
