"""Several processes share the listening sockets."""

from __future__ import annotations

import itertools
import socket

import pytest

from ringback.web.balance import Balance, ConnectionCounts
from ringback.web.sockets import listen


def accept(balances: list[Balance], come: int) -> tuple[list[int], int]:
    """Have processes accept in turns; returns how many each has, and the number of rounds of their loops."""
    counts = [0] * len(balances)
    for rounds in itertools.count():
        number = rounds % len(balances)
        while come:
            come -= 1
            counts[number] += 1
            balances[number].set(counts[number])
            if not balances[number].may_accept_more():
                break
        if not come:
            return counts, rounds
    raise AssertionError


@pytest.mark.parametrize(("come", "counts"), [(2, [1, 1]), (3, [1, 2]), (4, [2, 2])])
def test_a_process_leaves_the_next_of_few_connections_to_the_others(come: int, counts: list[int]) -> None:
    shared = ConnectionCounts(2)

    assert accept([Balance(shared, 0), Balance(shared, 1)], come)[0] == counts


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_many_connections_are_accepted_in_few_rounds_and_nearly_equal_parts(processes: int) -> None:
    shared = ConnectionCounts(processes)
    balances = [Balance(shared, number) for number in range(processes)]
    counts, rounds = accept(balances, 1000)

    assert max(counts) <= 1.2 * min(counts)
    assert rounds <= 60 * processes


def test_a_process_alone_accepts_all() -> None:
    assert accept([Balance()], 1000) == ([1000], 0)
    assert Balance().may_accept_more()


def test_the_place_of_a_process_that_has_ended_is_free() -> None:
    shared = ConnectionCounts(2)
    ended, other = Balance(shared, 0), Balance(shared, 1)
    ended.set(50)
    other.set(10)
    assert other.may_accept_more()

    shared.set(0, 0)
    assert not other.may_accept_more()


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", ""])
def test_all_addresses_of_a_host_have_one_port(address: str) -> None:
    sockets = listen(0, address)

    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        host, port = sock.getsockname()[:2]
        socket.create_connection((host, port)).close()
        sock.close()
