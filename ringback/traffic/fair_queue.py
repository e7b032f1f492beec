"""A queue that serves several tenants by their weights, however much each has put in. Pure; any greenlet.

Start-time fair queueing (P. Goyal, H. M. Vin and H. Cheng, 1996): the first item of each tenant has a tag, the item
with the least tag is taken, and the tenant's next one has a tag that is 1 by the tenant's weight higher.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from ringback.traffic.shares import Tenant

Item = TypeVar("Item")

#: Tenants without items whose last tag is remembered, at least, before those are forgotten whose tag has passed.
REMEMBERED = 64


class _Line(Generic[Item]):
    """The items of one tenant, in their order."""

    __slots__ = "items", "weight"

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.items: dict[str, Item] = {}


class FairQueue(Generic[Item]):
    """Items that wait, by their keys."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line[Item]] = {}  # by the tenant's name; each has an item
        self._owners: dict[str, str] = {}  # by the item's key: the tenant's name
        self._tags: list[tuple[float, int, str]] = []  # a heap with one entry of each line, and of some that are gone
        self._next_tags: dict[str, float] = {}  # of the next item of tenants that were served lately
        self._now, self._weights, self._numbers = 0.0, 0.0, count()

    def __len__(self) -> int:
        return len(self._owners)

    def of(self, tenant: Tenant) -> int:
        """How many items of a tenant wait."""
        line = self._lines.get(tenant.name)
        return len(line.items) if line is not None else 0

    def ahead(self, tenant: Tenant) -> float:
        """About how many items would be taken before a new one of this tenant."""
        own = self.of(tenant)
        others = self._weights - (tenant.weight if own else 0)
        return own + min(len(self) - own, (own + 1) * others / tenant.weight)

    def put(self, key: str, tenant: Tenant, item: Item) -> None:
        """Put an item behind the tenant's others."""
        line = self._lines.get(tenant.name)
        if line is None:
            line = self._lines[tenant.name] = _Line(tenant.weight)
            self._weights += tenant.weight
            self._tag(tenant.name, max(self._now, self._next_tags.get(tenant.name, 0.0)))
        line.items[key] = item
        self._owners[key] = tenant.name

    def take(self) -> Item | None:
        """Take the next item out; ``None`` if there is none."""
        while self._tags:
            tag, _, name = heappop(self._tags)
            line = self._lines.get(name)
            if line is None or tag != self._next_tags[name]:  # all of the line had been removed
                continue
            self._now = tag
            key = next(iter(line.items))
            item = line.items.pop(key)
            self._tag(name, tag + 1 / line.weight, waits=bool(line.items))
            self._removed(key, name, line)
            return item
        return None

    def remove(self, key: str) -> Item | None:
        """Take this item out; ``None`` if it does not wait."""
        name = self._owners.get(key)
        if name is None:
            return None
        line = self._lines[name]
        item = line.items.pop(key)
        self._removed(key, name, line)
        return item

    def _tag(self, name: str, tag: float, waits: bool = True) -> None:
        self._next_tags[name] = tag
        if waits:
            heappush(self._tags, (tag, next(self._numbers), name))

    def _removed(self, key: str, name: str, line: _Line[Item]) -> None:
        del self._owners[key]
        if line.items:
            return
        del self._lines[name]
        self._weights -= line.weight
        if not self._lines:  # no tenant has had more than its share
            self._now, self._weights = 0.0, 0.0
            self._tags.clear()
            self._next_tags.clear()
        elif len(self._next_tags) > 2 * len(self._lines) + REMEMBERED:
            waiting, now = self._lines, self._now
            self._next_tags = {name: tag for name, tag in self._next_tags.items() if tag > now or name in waiting}
