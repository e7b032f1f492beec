"""How many of a limited number of places, such as those of held calls, each tenant may have. Pure; any greenlet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

#: How much more than the limit all tenants together may have, as a part of it: so much is left for new ones while one
#: tenant has all of the limit.
RESERVE = 0.25


@dataclass(frozen=True, slots=True)
class Tenant:
    """The party whose share a request takes: a caller with a token, or else a client's address.

    :param weight: how much of everything it may have beside others, who have 1 unless RINGBACK_WEIGHTS says otherwise.
    """

    name: str
    weight: float = 1.0


#: The tenant of each name and weight: one object, since each held call has it.
named = lru_cache(maxsize=10_000)(Tenant)

#: The tenant of calls that no request has made.
NOBODY = Tenant("")


class Shares:
    """How many each tenant has.

    A tenant alone may have as many as the limit. Each one that others have takes 0.8 from that, so that two who want
    all of it have 5/9 of the limit each, and ten an eighth. (A. K. Choudhury and E. L. Hahne, "Dynamic queue length
    thresholds for shared-memory packet switches", 1998, with a threshold of four times what is free.)

    :param limit: how many one tenant may have that is alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._taken: dict[str, int] = {}

    def of(self, tenant: Tenant) -> int:
        """How many a tenant has."""
        return self._taken.get(tenant.name, 0)

    def share(self, tenant: Tenant) -> int:
        """How many a tenant may have at the moment."""
        threshold = tenant.weight / RESERVE
        others = self.total - self.of(tenant)
        free = self.limit * (1 + RESERVE) - others
        return max(0, min(self.limit, int(free * threshold / (1 + threshold) + 1e-6)))

    def has_room(self, tenant: Tenant, count: int = 1) -> bool:
        """Whether a tenant may have so many more."""
        if self.total + count <= self.limit and tenant.weight >= 1:  # as nearly always
            return True
        return self.of(tenant) + count <= self.share(tenant)

    def take(self, tenant: Tenant) -> None:
        """Count one more."""
        self.total += 1
        self._taken[tenant.name] = self._taken.get(tenant.name, 0) + 1

    def give_back(self, tenant: Tenant) -> None:
        """Count one less."""
        self.total -= 1
        left = self._taken[tenant.name] - 1
        if left:
            self._taken[tenant.name] = left
        else:
            del self._taken[tenant.name]
