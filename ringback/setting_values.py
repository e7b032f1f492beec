"""How the text of an environment variable becomes the value of a setting. Pure; each function raises BadSetting."""

from __future__ import annotations

import re

from ringback.errors import BadSetting

#: What may happen to a run whose last client has gone.
CLIENT_GONE = ("keep", "revoke", "terminate")


def number(variable: str, given: str) -> float:
    """A number above 0."""
    try:
        value = float(given)
    except ValueError as error:
        raise BadSetting(f"{variable}={given!r}: expected a number") from error
    return _above_zero(variable, given, value)


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


def words_or_none(variable: str, given: str) -> tuple[str, ...] | None:
    """Words, separated by commas or blanks; ``None`` if there is no word."""
    return words(variable, given) or None


def tokens(variable: str, given: str) -> dict[str, tuple[str, ...]]:
    """Tokens, separated by blanks, each with the patterns of its tasks: ``s3cret:add,task.* other``."""
    found = {}
    for entry in given.split():
        token, _, patterns = entry.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):  # b64token of RFC 6750, 2.1
            raise BadSetting(f"{variable}: a token has letters, digits and -._~+/ only, as in 's3cret:add,task.*'")
        found[token] = tuple(patterns.split(",")) if patterns else ("*",)
    return found


def policies(variable: str, given: str) -> dict[str, str]:
    """Task patterns, separated by blanks, each with its policy: ``report.*:revoke slow:terminate``."""
    found = dict(entry.rpartition(":")[::2] for entry in given.split())
    for pattern, policy in found.items():
        if not pattern or policy not in CLIENT_GONE:
            raise BadSetting(f"{variable}: {pattern}:{policy} is no pattern:policy of {', '.join(CLIENT_GONE)}")
    return found
