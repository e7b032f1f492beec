"""What can be set: each setting once, with its variable, its default and its reason. Any greenlet may read it.

``docs/settings.md`` is written from this table by ``make docs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from ringback.settings import urls, values
from ringback.settings.tokens import Grant, tokens, with_file
from ringback.settings.values import setting


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
        "Calls that a client may wait for, then 503. A held request takes 12 KiB: 240 MB of a 512-MB dyno.",
    )
    detached_limit: int = setting(
        "RINGBACK_DETACHED_LIMIT", 20_000, values.whole_number, "Calls that no client waits for, then 503 for more."
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
    no_worker: float = setting(
        "RINGBACK_NO_WORKER", 10.0, values.seconds, "Seconds that a queue may have no worker, then 503; 0: any time."
    )
    body_limit: int = setting(
        "RINGBACK_BODY_LIMIT",
        2**20,
        values.whole_number,
        "Bytes of a request's body, then 413. It is nginx's default; 100 such bodies at once take 430 MB.",
    )
    bodies_limit: int = setting(
        "RINGBACK_BODIES_LIMIT",
        64 * 2**20,
        values.whole_number,
        "Bytes of all bodies that are under way at once, then 503.",
    )
    result_limit: int = setting(
        "RINGBACK_RESULT_LIMIT",
        16 * 2**20,
        values.whole_number,
        "Bytes of a result as JSON, then 502. It is kept, and may be asked for by many clients.",
    )
    connection_limit: int = setting(
        "RINGBACK_CONNECTION_LIMIT",
        25_000,
        values.whole_number,
        "Connections at once; more wait to be accepted. Fewer where the process may not open as many files.",
    )
    header_timeout: float = setting(
        "RINGBACK_HEADER_TIMEOUT", 10.0, values.number, "Seconds for a connection's first headers, then it is closed."
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
    write_timeout: float = setting(
        "RINGBACK_WRITE_TIMEOUT",
        30.0,
        values.number,
        "Seconds without progress for a client that does not read its answer, then the connection is closed.",
    )
    grace: float = setting(
        "RINGBACK_GRACE",
        25.0,
        values.number,
        "Seconds for held requests after SIGTERM, then 503. Heroku kills a process 30 s after SIGTERM.",
    )
    tokens: Mapping[str, Grant] = setting(
        "RINGBACK_TOKENS",
        {},
        tokens,
        "The callers: `web=token:add,task.* ops=token,token@read,operate:*`. A public address needs them; see"
        " [security.md](security.md).",
    )
    tokens_file: str = setting(
        "RINGBACK_TOKENS_FILE",
        "",
        values.text,
        "A file of more callers, one on each line, `#` before a comment. SIGHUP has it read again.",
    )
    open_to_all: bool = setting(
        "RINGBACK_OPEN", False, values.flag, "1: every client may call, on a public address, too."
    )
    hosts: tuple[str, ...] = setting(
        "RINGBACK_HOSTS",
        (),
        values.words,
        "Names that a request's `Host` may have, beside this machine's own; others get 421. Checked where there are no"
        " tokens, so that no web page can call through a name of its own (DNS rebinding).",
    )
    proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        "RINGBACK_PROXIES",
        (),
        values.networks,
        "The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: `127.0.0.1 10.0.0.0/8`.",
    )
    ticket_key: str = setting(
        "RINGBACK_TICKET_KEY",
        "",
        values.text,
        "A secret that signs tickets, the same on all machines that serve together; by default each has its own.",
    )
    tasks: tuple[str, ...] | None = setting(
        "RINGBACK_TASKS",
        None,
        values.some_words,
        "The tasks that may be called over HTTP: `add,task.*`. By default all of the app's; never `celery.*`.",
    )
    queues: tuple[str, ...] = setting(
        "RINGBACK_QUEUES", (), values.words, "Queues that a caller may choose, beside those that the app knows."
    )
    rate: float = setting(
        "RINGBACK_RATE", 0.0, values.number, "Calls a second for each caller, then 429; by default any number."
    )
    weights: Mapping[str, float] = setting(
        "RINGBACK_WEIGHTS", {}, values.weights, "How much more than others a caller may have: `web:5`; by default 1."
    )
    max_delay: float = setting(
        "RINGBACK_MAX_DELAY",
        900.0,
        values.number,
        "Seconds of the longest `countdown`, or to the farthest `eta`, of a call. RabbitMQ closes the channel of a"
        " worker that holds a task for 30 minutes.",
    )
    typed_json: bool = setting(
        "RINGBACK_TYPED_JSON", False, values.flag, '1: arguments may have kombu\'s `{"__type__": …}` for the worker.'
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
        "Bytes for ended runs, of each process and in Redis; beyond it the oldest are dropped.",
    )
    client_gone: Mapping[str, str] = setting(
        "RINGBACK_CLIENT_GONE",
        {},
        values.policies,
        "What happens to a run when its last client has gone: `report.*:revoke slow:terminate`; by default `*:keep`.",
    )
    terminate: tuple[str, ...] = setting(
        "RINGBACK_TERMINATE",
        (),
        values.words,
        "The tasks that `?terminate=true` may stop while they run: `report.*`. In a prefork worker the signal may meet"
        " another's task.",
    )
    http_answers: tuple[str, ...] = setting(
        "RINGBACK_HTTP_ANSWERS", (), values.words, "The tasks that return their own `{status, headers, body}`."
    )
    errors: str = setting(
        "RINGBACK_ERRORS",
        "message",
        values.one_of("class", "message", "traceback"),
        "What callers see of a failed task: the class of its exception, its message, too, or also its traceback.",
    )
    audit: bool = setting(
        "RINGBACK_AUDIT",
        False,
        values.flag,
        "1: a JSON line for each call, cancellation and refusal on standard error.",
    )
    cors: tuple[str, ...] = setting(
        "RINGBACK_CORS", (), values.origins, "The origins whose pages may call, beside the own origin."
    )
    wechat_token: str = setting(
        "RINGBACK_WECHAT_TOKEN", "", values.text, "The token of a WeChat official account; `/wechat` needs it."
    )
    wechat_task: str = setting(
        "RINGBACK_WECHAT_TASK", "", values.text, "The task that replies to WeChat's messages, which it gets as dicts."
    )
    wechat_aes_key: str = setting(
        "RINGBACK_WECHAT_AES_KEY",
        "",
        values.text,
        "The account's `EncodingAESKey`, for its safe mode; with it only encrypted messages are read.",
    )
    wechat_app_id: str = setting(
        "RINGBACK_WECHAT_APP_ID", "", values.text, "The account's `AppID`, which encrypted messages name."
    )
    wechat_raw: bool = setting("RINGBACK_WECHAT_RAW", False, values.flag, "1: that task gets the XML as it came.")
    wechat_fallback: str = setting(
        "RINGBACK_WECHAT_FALLBACK",
        "success",
        values.text,
        "What WeChat gets if there is no reply: `success`, or nothing; with both it shows none.",
    )
    redis_url: str = setting(
        "REDIS_URL", "", urls.redis_url, "The Redis where several web processes share their runs. Nothing else uses it."
    )
    redis_master: str = setting("REDIS_MASTER", "", values.text, "The master that `sentinel://…` watches.")
    #: How long the reply queue outlives its process: longer than any outage worth surviving.
    reply_queue_expires: float = 600.0
    #: A broker that is silent for twice this is given up. RabbitMQ advises against less than 5 (false alarms).
    heartbeat: float = 5.0
    #: Time for one attempt to connect. Short, so that the attempt after the broker's return comes soon.
    connect_timeout: float = 2.0

    def grants(self) -> dict[str, Grant]:
        """Read the tokens file, and return all tokens by their digests.

        :raises BadSetting: the file cannot be read or used, or repeats a token.
        """
        return with_file(self.tokens, self.tokens_file)
