"""Which caller may call which task, and how often. Pure; runs on the loop's greenlet."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ringback.errors import BadSetting, TooManyCalls, Unauthorized
from ringback.settings import Settings


@dataclass(frozen=True)
class Caller:
    """One caller, and the patterns of the tasks that it may call."""

    name: str
    patterns: tuple[str, ...] = ("*",)

    def may_call(self, task: str) -> bool:
        """Whether the caller may call this task."""
        return matches(task, self.patterns)


#: The one caller of an interface without tokens.
ANYBODY = Caller("anybody")


class Access:
    """The callers that the settings name, each with its tokens and its rate.

    :param clock: seconds that never go back.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._callers = {
            token.encode(): Caller(hashlib.sha256(token.encode()).hexdigest()[:16], patterns)
            for token, patterns in settings.tokens.items()
        }
        self._rate, self._clock = settings.rate, clock
        self._budgets: dict[str, tuple[float, float]] = {}  # calls left, and since when

    @property
    def callers(self) -> list[Caller]:
        """All callers that there are."""
        return list(self._callers.values()) or [ANYBODY]

    def caller(self, authorization: str | None) -> Caller:
        """Find the caller by the request's ``Authorization`` header.

        :raises Unauthorized: the header has no known bearer token (RFC 6750, 2.1).
        """
        if not self._callers:
            return ANYBODY
        scheme, _, token = (authorization or "").partition(" ")
        given = token.strip().encode()
        # All tokens are compared, each in constant time, so that the time does not show which part of a token is right.
        found = [caller for known, caller in self._callers.items() if hmac.compare_digest(known, given)]
        if scheme.lower() != "bearer" or not found:
            raise Unauthorized("a bearer token is needed: curl -H 'Authorization: Bearer …'")
        return found[0]

    def spend(self, caller: Caller) -> None:
        """Count one call of this caller, which may save up the calls of one second.

        :raises TooManyCalls: it comes too soon after the caller's last calls.
        """
        if not self._rate:
            return
        now = self._clock()
        most = max(self._rate, 1.0)
        left, since = self._budgets.get(caller.name, (most, now))
        left = min(most, left + (now - since) * self._rate)
        if left < 1:
            raise TooManyCalls(f"no more than {self._rate:g} calls a second")
        self._budgets[caller.name] = left - 1, now


def require_tokens(settings: Settings, address: str) -> None:
    """Check that an address which other machines can reach is guarded by tokens.

    :raises BadSetting: it is not; the message says what to set.
    """
    loopback = address == "localhost" or address.startswith("127.") or address == "::1"
    if not (loopback or settings.tokens or settings.open_to_all):
        raise BadSetting(
            f'on {address} everybody could call the tasks: set RINGBACK_TOKENS, as in RINGBACK_TOKENS="$(openssl rand'
            ' -hex 16)", or RINGBACK_OPEN=1 if that is wanted'
        )


def matches(name: str, patterns: Collection[str]) -> bool:
    """Whether a name fits one of the patterns, such as ``api.*``."""
    return "*" in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
