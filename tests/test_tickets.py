"""A ticket is taken once, for half a minute, and only if it is whole."""

from __future__ import annotations

import pytest

from ringback.errors import Unauthorized
from ringback.web import LIFETIME, Caller
from ringback.web.tickets import Tickets

CALLER = Caller("ann/é", ("add", "task.*"), frozenset({"read"}))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_stands_for_its_caller_once() -> None:
    tickets = Tickets(b"key")
    ticket = tickets.issue(CALLER)

    assert tickets.take(ticket) == CALLER
    with pytest.raises(Unauthorized):
        tickets.take(ticket)


def test_another_process_with_the_same_key_takes_it() -> None:
    ticket = Tickets(b"key").issue(CALLER)

    assert Tickets(b"key").take(ticket) == CALLER
    with pytest.raises(Unauthorized):
        Tickets(b"another").take(ticket)


def test_a_ticket_is_valid_for_half_a_minute_and_then_forgotten() -> None:
    clock = Clock()
    tickets = Tickets(b"key", clock)
    early, late = tickets.issue(CALLER), tickets.issue(CALLER)

    clock.now += LIFETIME - 1
    tickets.take(early)
    clock.now += 1
    with pytest.raises(Unauthorized):
        tickets.take(late)
    tickets.take(tickets.issue(CALLER))
    assert len(tickets) == 1


@pytest.mark.parametrize("change", range(0, 200, 7))
def test_a_ticket_that_was_changed_is_none(change: int) -> None:
    ticket = Tickets(b"key").issue(CALLER)
    place = change % len(ticket)
    forged = ticket[:place] + ("A" if ticket[place] != "A" else "B") + ticket[place + 1 :]

    with pytest.raises(Unauthorized):
        Tickets(b"key").take(forged)


@pytest.mark.parametrize("text", ["", ".", "a.b", "é.é", "." * 100_000, "eyJ9.x"])
def test_no_other_text_is_a_ticket(text: str) -> None:
    with pytest.raises(Unauthorized):
        Tickets(b"key").take(text)
