"""How RINGBACK_TOKENS and the tokens file are read. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

from ringback.errors import BadSetting

#: What a caller may do: read tasks and its own runs, call tasks, cancel its own runs, read metrics and queue depths.
SCOPES = ("read", "call", "operate", "metrics")

#: The fewest characters of a token on a public address: 64 bits, as hexadecimal digits.
SHORTEST_TOKEN = 16

#: One caller of RINGBACK_TOKENS; a token without a name is a caller by itself, as it was before callers had names.
ENTRY = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._-]{1,64})=)?(?P<secrets>[^=@:][^@:]*)(?:@(?P<scopes>[^:]*))?(?::(?P<patterns>.*))?"
)
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token of RFC 6750, 2.1
HASHED = re.compile(r"sha256-[0-9a-f]{64}")


@dataclass(frozen=True)
class Grant:
    """What one token allows.

    :param name: of the caller; tokens of one name are one caller.
    :param patterns: of the names of the tasks that the caller may call.
    :param expires: seconds since the epoch.
    :param is_short: whether the token could be guessed on a public address.
    """

    name: str
    patterns: tuple[str, ...]
    scopes: frozenset[str]
    expires: float
    is_short: bool


def tokens(variable: str, given: str) -> dict[str, Grant]:
    """Callers, separated by white space: ``name=token[,token][@scopes][:patterns]``; by the SHA-256 of their tokens.

    No message repeats a token. What could mean more than its writer had in mind is an error: a blank too many, or an
    empty variable of the shell, would otherwise make a token for everything.
    """
    found: dict[str, Grant] = {}
    entries = [_entry(f"{variable}, entry {number}", text) for number, text in enumerate(given.split(), 1)]
    some_are_limited = any(entry["patterns"] is not None for _, entry in entries)
    names: set[str] = set()
    for where, entry in entries:
        scopes = _scopes(where, entry["scopes"])
        if entry["patterns"] is None and some_are_limited and "call" in scopes:
            raise BadSetting(f"{where} names no tasks, while others do: write name=token:* if it may call all of them")
        patterns = _patterns(where, entry["patterns"])
        grants = _secrets(where, entry["name"], entry["secrets"])
        if {name for name, _, _ in grants.values()} & names or grants.keys() & found.keys():
            raise BadSetting(f"{where}: its name or token is there already; write one entry, name=token,token:patterns")
        names |= {name for name, _, _ in grants.values()}
        for digest, (name, expires, is_short) in grants.items():
            found[digest] = Grant(name, patterns, scopes, expires, is_short)
    return found


def _entry(where: str, text: str) -> tuple[str, dict[str, str | None]]:
    entry = ENTRY.fullmatch(text)
    if entry is None:
        raise BadSetting(f"{where}: expected name=token:patterns, as in web=$(openssl rand -hex 16):add,task.*")
    return where, entry.groupdict()


def _secrets(where: str, name: str | None, text: str | None) -> dict[str, tuple[str, float, bool]]:
    """By the digest of each token of a caller: the caller's name, the end of its life, and whether it is short."""
    found: dict[str, tuple[str, float, bool]] = {}
    for secret in (text or "").split(",") if name else [text or ""]:
        token, _, until = secret.partition(";")
        if name is None and token.endswith("=") and not token.endswith("=="):
            raise BadSetting(f"{where}: no token behind the '='; is the variable that holds it set?")
        if not TOKEN.fullmatch(token):
            raise BadSetting(f"{where}: a token has letters, digits and -._~+/ only, as in name=token,token:add,task.*")
        digest = token[7:] if HASHED.fullmatch(token) else sha256(token.encode()).hexdigest()
        if digest in found:
            raise BadSetting(f"{where}: the same token twice")
        found[digest] = name or digest[:16], _end_of(where, until), len(token) < SHORTEST_TOKEN
    return found


def _end_of(where: str, day: str) -> float:
    if not day:
        return float("inf")
    try:
        last = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise BadSetting(f"{where}: the last day of a token is a date, as in name=token;2027-01-31") from error
    return (last + timedelta(days=1)).timestamp()


def _scopes(where: str, text: str | None) -> frozenset[str]:
    scopes = frozenset(SCOPES if text is None else text.split(","))
    if not scopes <= set(SCOPES):
        raise BadSetting(f"{where}: the scopes behind the '@' are some of {', '.join(SCOPES)}")
    return scopes


def _patterns(where: str, text: str | None) -> tuple[str, ...]:
    patterns = ("*",) if text is None else tuple(text.split(","))
    if not all(patterns):
        raise BadSetting(
            f"{where}: a pattern is empty. They have commas between them and no blanks, as in name=token:add,task.*;"
            " all tasks are name=token:*"
        )
    return patterns


def with_file(known: Mapping[str, Grant], path: str) -> dict[str, Grant]:
    """The known tokens and those of a file; a ``#`` begins a comment there.

    :param path: empty if there is no file.
    :raises BadSetting: the file cannot be read, names no caller, or repeats one that is known.
    """
    if not path:
        return dict(known)
    variable = "RINGBACK_TOKENS_FILE"
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{variable}={path}: {error}") from error
    more = tokens(variable, "\n".join(line.partition("#")[0] for line in lines))
    if not more:
        raise BadSetting(f"{variable}={path}: the file names no caller, as in web=token:*")
    if more.keys() & known.keys() or _names(more) & _names(known):
        raise BadSetting(f"{variable} repeats a caller or token of RINGBACK_TOKENS: remove it from one of them")
    return {**known, **more}


def _names(grants: Mapping[str, Grant]) -> set[str]:
    return {grant.name for grant in grants.values()}
