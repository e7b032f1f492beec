"""Who asks, what they may do, and how often. Pure; runs on the loop's greenlet.

``Access`` is the seam: a request's ``Authorization`` header in, a ``Caller`` out. ``Tokens`` is the package's own, for
RINGBACK_TOKENS; ``examples/jwt_access.py`` shows another.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from ringback.calls import Switchboard
from ringback.errors import BadSetting, Forbidden, RingbackError, Unauthorized
from ringback.settings import SCOPES, SHORTEST_TOKEN, Settings, read
from ringback.traffic import Tenant, named
from ringback.web.addresses import is_loopback, network_of

#: Callers, or addresses, whose rate is remembered at once. Those that have asked least recently are forgotten first.
BUCKETS_KEPT = 10_000


@dataclass(frozen=True)
class Caller:
    """One caller.

    :param name: its runs and idempotency keys belong to this name.
    :param patterns: of the names of the tasks that it may call.
    :param scopes: of ``read``, ``call``, ``operate`` and ``metrics``.
    :param weight: how much of everything it may have beside others, where there is not enough for all; above 0.
    :raises ValueError: the weight is not above 0.
    """

    name: str
    patterns: tuple[str, ...] = ("*",)
    scopes: frozenset[str] = frozenset(SCOPES)
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"caller {self.name!r}: weight {self.weight} is not above 0")

    def may_call(self, task: str) -> bool:
        """Whether the caller may call this task."""
        return matches(task, self.patterns)

    def require(self, scope: str) -> None:
        """Check that the caller has a scope.

        :raises Forbidden: it has not.
        """
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope!r}, which the caller {self.name} does not have")


#: The one caller of a gateway without tokens.
ANYBODY = Caller("anybody")


def tenant_of(caller: Caller, address: str) -> Tenant:
    """Whose share of everything a request takes: the caller's, or the client's address where there is no token."""
    return _tenant_at(address) if caller is ANYBODY else named(caller.name, caller.weight)


@lru_cache(maxsize=10_000)
def _tenant_at(address: str) -> Tenant:
    return Tenant(network_of(address))


class Access(Protocol):
    """Finds out who asks."""

    @property
    def is_guarded(self) -> bool:
        """Whether a request without credentials is refused. If not, only loopback names are answered."""

    def caller(self, authorization: str | None) -> Caller:
        """Find the caller by the request's ``Authorization`` header. Called on the loop, so it must not wait.

        :raises Unauthorized: the header proves nobody.
        """


class Tokens:
    """The callers that RINGBACK_TOKENS and RINGBACK_TOKENS_FILE name, by the SHA-256 of their tokens.

    :param clock: seconds since the epoch.
    :raises BadSetting: the file cannot be used.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self.reload()

    def reload(self) -> None:
        """Read the file again. If it cannot be used, what was known before stays.

        :raises BadSetting: it cannot be used.
        """
        self._grants, weights = self._settings.grants(), self._settings.weights
        self._callers = {
            digest: Caller(grant.name, grant.patterns, grant.scopes, weights.get(grant.name, 1.0))
            for digest, grant in self._grants.items()
        }

    @property
    def is_guarded(self) -> bool:
        """Whether there are tokens at all."""
        return bool(self._settings.tokens or self._settings.tokens_file)

    @property
    def short_one(self) -> str | None:
        """The name of a caller whose token could be guessed, if there is one."""
        return next((grant.name for grant in self._grants.values() if grant.is_short), None)

    @property
    def callers(self) -> list[Caller]:
        """All callers that there are."""
        return list(self._callers.values()) or [ANYBODY]

    def caller(self, authorization: str | None) -> Caller:
        """Find the caller by a bearer token (RFC 6750, 2.1).

        :raises Unauthorized: there is no such token, or its last day is over.
        """
        if not self.is_guarded:
            return ANYBODY
        scheme, _, token = (authorization or "").partition(" ")
        # A lookup by digest shows by its time at most how far a digest agrees, which tells nothing of a token.
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        caller = self._callers.get(digest)
        if caller is None or scheme.lower() != "bearer" or self._clock() >= self._grants[digest].expires:
            raise Unauthorized("a bearer token is needed: curl -H 'Authorization: Bearer …'")
        return caller


class RateLimit:
    """A token bucket for each name.

    :param rate: how many times a second; 0 for any number.
    :param error: the class of error for what comes too soon.
    :param burst: how many times may be saved up; at least one second's.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        rate: float,
        error: type[RingbackError],
        burst: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._error, self._clock = rate, error, clock
        self._most = max(rate, burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # times left, and since when

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, name: str, count: int = 1) -> None:
        """Count some times at once; more than the bucket holds empty it, and are paid back before the next.

        :raises RingbackError: of the class given, if it comes too soon.
        """
        if not self._rate:
            return
        now = self._clock()
        left, since = self._buckets.pop(name, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        self._buckets[name] = left, now
        if left < min(count, self._most):
            raise self._error(f"no more than {self._rate:g} a second")
        self._buckets[name] = left - count, now
        self._forget_full(now)

    def _forget_full(self, now: float) -> None:
        """Forget the buckets that are full again, which are as if they had never been used."""
        while self._buckets:
            name, (left, since) = next(iter(self._buckets.items()))
            if left + (now - since) * self._rate < self._most and len(self._buckets) <= BUCKETS_KEPT:
                return
            del self._buckets[name]


_ACCESS: WeakKeyDictionary[Switchboard, Access] = WeakKeyDictionary()

#: The name of the ``Access`` among an application's settings.
SETTING = "ringback_access"


def access_of(switchboard: Switchboard, access: Access | None = None) -> Access:
    """The ``Access`` of a gateway: the one that was given first, or else its settings' tokens."""
    if switchboard not in _ACCESS:
        _ACCESS[switchboard] = access or Tokens(switchboard.settings)
    return _ACCESS[switchboard]


def access_in(settings: dict[str, Any]) -> Access:
    """The ``Access`` of an application, by its settings. One that ``serve`` does not serve reads the environment."""
    if SETTING not in settings:
        settings[SETTING] = Tokens(read())
    found: Access = settings[SETTING]
    return found


def check_address(settings: Settings, access: Access, address: str) -> None:
    """Check that an address which other machines can reach is guarded.

    :param address: host name or IP address; empty for all.
    :raises BadSetting: it is not; the message says what to set.
    """
    if is_loopback(address):
        return
    if not (access.is_guarded or settings.open_to_all):
        raise BadSetting(
            f'on {address} everybody could call the tasks: set RINGBACK_TOKENS, as in RINGBACK_TOKENS="web=$(openssl'
            ' rand -hex 16):*", or RINGBACK_OPEN=1 if that is wanted'
        )
    short = access.short_one if isinstance(access, Tokens) else None
    if short is not None:
        raise BadSetting(
            f"on {address} a token of fewer than {SHORTEST_TOKEN} characters could be guessed, such as that of"
            f" {short!r}: make it with openssl rand -hex 16"
        )


def matches(name: str, patterns: Collection[str]) -> bool:
    """Whether a name fits one of the patterns, such as ``api.*``."""
    return "*" in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
