"""The outbox keeps its messages in order and within its limit."""

from __future__ import annotations

import pytest

from ringback.errors import OutboxFull
from ringback.publish import Message, Outbox


def message(call_id: str, born: float = 0.0) -> Message:
    return Message(call_id, b"", "application/json", "utf-8", {}, {}, "", "celery", None, (), born=born)


def put(outbox: Outbox, message: Message) -> None:
    outbox.reserve(message.call_id)
    outbox.put(message)


def ids(messages: list[Message]) -> list[str]:
    return [one.call_id for one in messages]


def test_messages_leave_in_the_order_they_came() -> None:
    outbox = Outbox(limit=10)
    for call_id in "abc":
        put(outbox, message(call_id))

    assert ids(outbox.take_all()) == ["a", "b", "c"]
    assert len(outbox) == 0


def test_a_full_outbox_refuses_and_keeps_what_it_has() -> None:
    outbox = Outbox(limit=2)
    put(outbox, message("a"))
    put(outbox, message("b"))

    with pytest.raises(OutboxFull) as refusal:
        put(outbox, message("c"))

    assert refusal.value.call_id == "c"
    assert ids(outbox.take_all()) == ["a", "b"]


def test_messages_in_flight_count_towards_the_limit() -> None:
    outbox = Outbox(limit=1)
    put(outbox, message("a"))
    outbox.take_all()

    with pytest.raises(OutboxFull):
        put(outbox, message("b"))

    outbox.release()
    put(outbox, message("b"))


def test_messages_that_are_put_back_go_first() -> None:
    outbox = Outbox(limit=3)
    put(outbox, message("a"))
    put(outbox, message("b"))
    taken = outbox.take_all()
    put(outbox, message("new"))

    outbox.put_back(taken)

    assert outbox.in_flight == 0
    assert ids(outbox.take_all()) == ["a", "b", "new"]


def test_the_outbox_is_done_when_it_is_empty_and_nothing_is_in_flight() -> None:
    outbox = Outbox(limit=2)
    assert outbox.done.is_set()

    put(outbox, message("a"))
    assert not outbox.done.is_set()
    outbox.take_all()
    assert not outbox.done.is_set()
    outbox.release()

    assert outbox.done.is_set()


def test_only_old_messages_are_taken_out() -> None:
    outbox = Outbox(limit=10)
    for call_id, born in (("older", 0.5), ("old", 1.0), ("young", 9.0)):
        put(outbox, message(call_id, born))

    assert ids(outbox.take_older(5.0)) == ["older", "old"]
    assert outbox.withdraw("young")
    assert not outbox.withdraw("old")


def test_a_deadline_goes_to_broker_and_worker() -> None:
    one = message("a")
    assert one.expires is None

    one.expire_after(2.5)

    assert one.expires == 2.5
    assert one.properties["expiration"] == "2500"
    assert one.headers["expires"].endswith("+00:00")


def test_a_reserved_place_counts_towards_the_limit_until_it_is_freed() -> None:
    outbox = Outbox(limit=1)
    outbox.reserve("a")

    with pytest.raises(OutboxFull):
        outbox.reserve("b")

    outbox.cancel()
    put(outbox, message("b"))
    assert ids(outbox.take_all()) == ["b"]
