"""How the text of an environment variable becomes the value of a setting. Pure; each parser raises BadSetting."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from ringback.errors import BadSetting

#: What may happen to a run whose last client has gone.
CLIENT_GONE = ("keep", "revoke", "terminate")


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


def number(variable: str, given: str) -> float:
    """A number above 0."""
    try:
        value = float(given)
    except ValueError as error:
        raise BadSetting(f"{variable}={given!r}: expected a number") from error
    return _above_zero(variable, given, value)


def seconds(variable: str, given: str) -> float:
    """A number above 0, or 0 for never."""
    return 0.0 if given == "0" else number(variable, given)


def whole_number(variable: str, given: str) -> int:
    """A whole number above 0."""
    try:
        value = int(given)
    except ValueError as error:
        raise BadSetting(f"{variable}={given!r}: expected a whole number") from error
    return int(_above_zero(variable, given, value))


def _above_zero(variable: str, given: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise BadSetting(f"{variable}={given!r}: expected a number above 0")
    return value


def flag(variable: str, given: str) -> bool:
    """1 or 0."""
    if given not in ("0", "1"):
        raise BadSetting(f"{variable}={given!r}: expected 1 or 0")
    return given == "1"


def text(variable: str, given: str) -> str:
    """The text as it is; it may be empty."""
    return given


def words(variable: str, given: str) -> tuple[str, ...]:
    """Words, separated by commas or blanks."""
    return tuple(given.replace(",", " ").split())


def some_words(variable: str, given: str) -> tuple[str, ...]:
    """Words, separated by commas or blanks; at least one."""
    found = words(variable, given)
    if not found:
        raise BadSetting(f"{variable}={given!r}: expected a word")
    return found


def one_of(*allowed: str) -> Callable[[str, str], str]:
    """Make a parser of one of these words."""

    def parse(variable: str, given: str) -> str:
        if given not in allowed:
            raise BadSetting(f"{variable}={given!r}: expected {', '.join(allowed[:-1])} or {allowed[-1]}")
        return given

    return parse


def networks(variable: str, given: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """IP addresses and networks, separated by commas or blanks: ``10.0.0.0/8 ::1``."""
    try:
        return tuple(map(ip_network, words(variable, given)))
    except ValueError as error:
        raise BadSetting(f"{variable}: {error}; expected addresses and networks, as in 127.0.0.1 10.0.0.0/8") from error


def origins(variable: str, given: str) -> tuple[str, ...]:
    """Origins of web pages, separated by commas or blanks: ``https://app.example``."""
    found = words(variable, given)
    wrong = [origin for origin in found if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/*@]+", origin)]
    if wrong:
        raise BadSetting(f"{variable}: {wrong[0]!r} is no origin; expected https://app.example, without a path")
    return found


def policies(variable: str, given: str) -> dict[str, str]:
    """Task patterns, separated by blanks, each with its policy: ``report.*:revoke slow:terminate``."""
    found = dict(entry.rpartition(":")[::2] for entry in given.split())
    for pattern, policy in found.items():
        if not pattern or policy not in CLIENT_GONE:
            raise BadSetting(f"{variable}: {pattern}:{policy} is no pattern:policy of {', '.join(CLIENT_GONE)}")
    return found


def weights(variable: str, given: str) -> dict[str, float]:
    """Names, separated by blanks, each with a number above 0: ``web:5 batch:0.5``."""
    entries = [entry.rpartition(":") for entry in given.split()]
    if not all(name for name, _, _ in entries):
        raise BadSetting(f"{variable}={given!r}: expected name:number, as in web:5 batch:0.5")
    return {name: number(variable, text) for name, _, text in entries}
