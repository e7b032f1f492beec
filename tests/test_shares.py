"""Who may have how many of what there is a limited number of."""

from __future__ import annotations

import pytest

from ringback.traffic import FairQueue, Shares, Tenant

ONE, OTHER, THIRD = Tenant("one"), Tenant("other"), Tenant("third")


def fill(shares: Shares, *tenants: Tenant) -> None:
    """Let these tenants take in turn until none may have more."""
    while any(shares.has_room(tenant) for tenant in tenants):
        for tenant in tenants:
            if shares.has_room(tenant):
                shares.take(tenant)


@pytest.mark.parametrize("limit", [1, 2, 10, 20_000])
def test_a_tenant_alone_may_have_all(limit: int) -> None:
    shares = Shares(limit)
    fill(shares, ONE)

    assert shares.of(ONE) == shares.total == limit
    assert shares.has_room(ONE, 0)


@pytest.mark.parametrize(("count", "each"), [(2, 555), (3, 384), (10, 121), (100, 12)])
def test_tenants_that_want_everything_have_the_same(count: int, each: int) -> None:
    shares, tenants = Shares(1000), [Tenant(str(number)) for number in range(count)]
    fill(shares, *tenants)

    assert all(abs(shares.of(tenant) - each) <= 1 for tenant in tenants)
    assert shares.total <= 1250


def test_there_is_room_for_another_while_one_has_all() -> None:
    shares = Shares(100)
    fill(shares, ONE)
    fill(shares, OTHER)
    fill(shares, THIRD)

    assert shares.of(OTHER) == 20
    assert shares.of(THIRD) == 4
    shares.give_back(ONE)
    assert not shares.has_room(ONE)  # until others have theirs


def test_what_others_do_not_want_one_may_have() -> None:
    shares = Shares(100)
    shares.take(OTHER)
    fill(shares, ONE)

    assert shares.of(ONE) == 99


def test_a_weight_is_a_larger_share() -> None:
    shares, heavy = Shares(1000), Tenant("heavy", 3.0)
    for tenant, count in ((ONE, 293), (heavy, 880)):
        for _ in range(count):
            assert shares.has_room(tenant)
            shares.take(tenant)

    assert (shares.share(ONE), shares.share(heavy)) == (296, 883)
    alone = Shares(10)
    fill(alone, heavy)
    assert alone.total == 10


def test_many_at_once_are_had_all_or_not_at_all() -> None:
    shares = Shares(10)
    shares.take(ONE)

    assert shares.has_room(ONE, 9)
    assert not shares.has_room(ONE, 10)


def test_a_tenant_without_any_is_forgotten() -> None:
    shares = Shares(10)
    shares.take(ONE)
    shares.give_back(ONE)

    assert not shares._taken


def taken(queue: FairQueue[str]) -> str:
    """All that waits, in the order in which it is taken."""
    found = []
    while (item := queue.take()) is not None:
        found.append(item)
    return "".join(found)


def put(queue: FairQueue[str], items: str, weight: float = 1.0) -> None:
    """Put in an item for each letter; its tenant is the letter."""
    for item in items:
        queue.put(f"{item}{len(queue)}", Tenant(item, weight), item)


def test_tenants_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    put(queue, "aaaaaabbc")

    assert taken(queue) == "abcabaaaa"
    assert len(queue) == 0


def test_a_tenant_that_comes_later_has_its_turn_next() -> None:
    queue: FairQueue[str] = FairQueue()
    put(queue, "aaaa")
    assert [queue.take(), queue.take()] == ["a", "a"]
    put(queue, "bb")

    assert taken(queue) == "baba"


def test_a_tenant_that_was_served_alone_owes_nothing() -> None:
    queue: FairQueue[str] = FairQueue()
    put(queue, "a" * 100)
    taken(queue)
    put(queue, "ab")

    assert taken(queue) in ("ab", "ba")


def test_a_heavier_tenant_has_more_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    put(queue, "a" * 6, weight=2)
    put(queue, "b" * 6)

    assert taken(queue)[:6].count("a") == 4


def test_what_is_removed_takes_no_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(50):
        queue.put(f"a{number}", ONE, "a")
    put(queue, "bb")
    for number in range(49):
        assert queue.remove(f"a{number}") == "a"
    assert queue.remove("a0") is None

    assert taken(queue) in ("abb", "bab")
    assert not queue._owners
    assert not queue._lines


def test_how_many_are_ahead() -> None:
    queue: FairQueue[str] = FairQueue()
    assert queue.ahead(ONE) == 0
    put(queue, "aaaaabb")

    assert queue.ahead(Tenant("a")) == 5 + 2
    assert queue.ahead(Tenant("b")) == 2 + 3
    assert queue.ahead(ONE) == 2
    assert queue.of(Tenant("a")) == 5


def test_tenants_that_have_gone_are_forgotten() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.put(str(number), Tenant(str(number)), "x")
        queue.take()

    assert len(queue._next_tags) < 200
    assert not queue._tags
