"""Addresses of servers, which may hold a password: how they are checked, and how they are shown. Pure; any greenlet."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ringback.errors import BadSetting

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

#: The schemes whose addresses are checked; other transports write ports and paths in ways of their own.
CHECKED = ("amqp", "amqps", "pyamqp", "redis", "rediss", "sentinel", "rpc", "memory")

#: Between two nodes of a cluster. Kombu splits at every semicolon; one without a scheme behind it is in a password.
_NEXT_NODE = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")

#: A host name or IP address, perhaps with a port; or nothing, as in ``rpc://``.
_HOST = re.compile(r"((?:[^\[\]@/?#;:,\s]+|\[[\w:.%]+\])(?::\d+)?)?")

#: What an address without a scheme can be: a host name, or the name of a module or class.
_NAME = re.compile(r"[\w.-]*(:\w+)?")

HINT = "in a user's name or password, write / ? # @ : and ; as %2F %3F %23 %40 %3A and %3B"


def without_password(url: str) -> str:
    """Return an address, or several with semicolons between them, as it may be shown.

    User, password and query are left out, and so is every part of a malformed address that may be one of them.
    """
    return ";".join(map(_shown, _NEXT_NODE.split(url)))


def check_url(name: str, url: str) -> None:
    """Check that an address, or each of several with semicolons between them, can be read without doubt.

    The libraries quote parts of what they cannot read in their errors, and these parts may be of the password.

    :param name: of the setting, for the message.
    :raises BadSetting: the address cannot be read; the message shows no password.
    """
    if not all(map(_is_readable, _NEXT_NODE.split(url))):
        # No cause: its message may quote the password.
        raise BadSetting(f"{name}: {without_password(url)!r} cannot be read; {HINT}") from None


def redis_url(name: str, given: str) -> str:
    """The address of a Redis; it may be empty."""
    if given and not given.startswith(("redis://", "rediss://", "redis+socket://", "unix://", "sentinel://")):
        raise BadSetting(f"{name}: {without_password(given)!r} is no Redis: expected redis://:password@host:6379/0")
    check_url(name, given)
    return given


def _shown(url: str) -> str:
    scheme = _SCHEME.match(url)
    if not scheme:
        return "…"
    location, _, query = re.sub("[?#]", "?", url[scheme.end() :]).partition("?")
    location = location.rpartition("@")[2]
    known = "@" not in query and _HOST.fullmatch(location.partition("/")[0])
    return scheme[0] + (location if known else "…")


def _is_readable(url: str) -> bool:
    scheme = _SCHEME.match(url)
    if not scheme:
        return _NAME.fullmatch(url) is not None
    if scheme[1] not in CHECKED:
        return True
    try:
        parts = urlsplit(f"http://{url[scheme.end() :]}")  # as kombu, Celery and redis-py read it
        _ = parts.hostname, parts.port
    except ValueError:
        return False
    if "@" in parts.path + parts.query + parts.fragment or ";" in parts.netloc:
        return False  # a password with one of / ? # ; in it
    return scheme[1] not in ("redis", "rediss", "sentinel") or re.fullmatch(r"/?\d*/?", parts.path) is not None
