"""A message is complete before it enters the outbox, whenever its call is awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ringback.calls import Watch, current_holder
from ringback.calls.drafts import Drafts
from ringback.errors import OutboxFull
from ringback.publish import Message, Outbox


class FakeCall:
    """A call, as far as its message is concerned."""

    ignored = False
    reports_expiry = False
    future: object = None
    due: float | None = None

    def __init__(self, call_id: str, watch: Watch | None = None) -> None:
        self.id, self.watch = call_id, watch


class FakeWaiting:
    """Runs what is to run on the loop when the test says so."""

    def __init__(self) -> None:
        self.loop_queue = self
        self.soon: list[Callable[[], object]] = []
        self.settled: list[tuple[str, object]] = []

    def on_loop(self, function: Callable[[], None]) -> None:
        self.soon.append(function)

    def post(self, function: Callable[..., object], *args: object) -> None:
        function(*args)

    def settle(self, call_id: str, error: object) -> None:
        self.settled.append((call_id, error))

    def give_way(self) -> None:
        """The handler gives way to the loop."""
        while self.soon:
            self.soon.pop(0)()


class FakeHolder:
    deadline: float | None = None


class Desk:
    """Drafts with all that they need."""

    def __init__(self, limit: int = 10) -> None:
        self.known: dict[str, Any] = {}
        self.waiting, self.outbox = FakeWaiting(), Outbox(limit)
        self.drafts = Drafts(self.outbox, self.known, self.waiting, deadline=25.0)  # type: ignore[arg-type]

    def call(self, call_id: str = "a", kept: bool = True, **options: Any) -> FakeCall:
        """A task is called; ``kept`` says whether the handler keeps the call."""
        properties = {"expiration": str(int(options["expires"] * 1000))} if "expires" in options else {}
        made = FakeCall(call_id, options.get("watch"))
        made.reports_expiry = options.get("reports_expiry", False)
        if made.watch is not None:
            self.known[call_id] = made
        self.drafts.accept(Message(call_id, b"", "application/json", "utf-8", {}, properties, "", "celery", None, ()))
        if kept:
            self.known[call_id] = made
        return made

    def sent(self) -> Message:
        """The only message that has entered the outbox."""
        self.waiting.give_way()
        [message] = self.outbox.take_all()
        return message


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def holder() -> Any:
    """A request that is held while the test runs."""
    held = FakeHolder()
    token = current_holder.set(held)  # type: ignore[arg-type]
    yield held
    current_holder.reset(token)


def test_a_message_stays_a_draft_until_the_handler_gives_way(desk: Desk) -> None:
    desk.call()

    assert len(desk.outbox) == 0
    desk.waiting.give_way()
    assert len(desk.outbox) == 1


def test_a_burst_of_calls_is_one_pass(desk: Desk) -> None:
    for number in range(10):
        desk.call(str(number))

    assert len(desk.waiting.soon) == 1
    desk.waiting.give_way()
    assert len(desk.outbox) == 10


def test_a_call_that_is_awaited_at_once_has_its_deadline(holder: FakeHolder) -> None:
    desk = Desk()
    holder.deadline = 5.0
    call = desk.call()

    assert desk.drafts.expire(call) == 5.0  # type: ignore[arg-type]
    assert desk.sent().expires == 5.0


def test_a_call_that_is_awaited_late_has_its_deadline_all_the_same(holder: FakeHolder) -> None:
    desk = Desk()
    call = desk.call()
    message = desk.sent()

    assert message.expires == 25.0
    left = desk.drafts.expire(call)  # type: ignore[arg-type]
    assert 0 < left <= 25.0  # counted from the call, and not from the await


def test_a_call_that_was_dropped_has_no_deadline(holder: FakeHolder) -> None:
    desk = Desk()
    desk.call(kept=False)

    assert desk.sent().expires is None


def test_a_call_outside_a_request_has_no_deadline_until_it_is_awaited(desk: Desk) -> None:
    call = desk.call()

    assert desk.sent().expires is None
    assert desk.drafts.expire(call) == 25.0  # type: ignore[arg-type]


def test_the_callers_own_expiry_wins(holder: FakeHolder) -> None:
    desk = Desk()
    call = desk.call(expires=3)

    assert desk.drafts.expire(call) == 3.0  # type: ignore[arg-type]
    assert desk.sent().expires == 3.0


def test_a_submitted_call_is_complete_at_once(desk: Desk) -> None:
    seen: list[str] = []
    watch = Watch("a", lambda meta: None, lambda: seen.append("confirmed"))
    desk.call(watch=watch, expires=60, reports_expiry=True)

    [message] = desk.outbox.take_all()
    assert message.expires is None  # the broker would drop it silently
    assert message.on_confirmed is not None
    message.on_confirmed()
    assert seen == ["confirmed"]


def test_a_confirmed_call_without_result_is_settled(desk: Desk) -> None:
    call = desk.call(watch=Watch("a", lambda meta: None, lambda: None))
    call.ignored = True

    [message] = desk.outbox.take_all()
    assert message.on_confirmed is not None
    message.on_confirmed()
    assert [call_id for call_id, _ in desk.waiting.settled] == ["a"]


def test_drafts_count_towards_the_limit_of_the_outbox() -> None:
    desk = Desk(limit=2)
    desk.call("a")
    desk.call("b")

    with pytest.raises(OutboxFull):
        desk.call("c")

    assert desk.drafts.withdraw("a")
    assert not desk.drafts.withdraw("a")
    desk.call("d")
    desk.waiting.give_way()
    assert [message.call_id for message in desk.outbox.take_all()] == ["b", "d"]
