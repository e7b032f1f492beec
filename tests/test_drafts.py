"""A message is complete before it enters the outbox, independent of when its call is awaited."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ringback.calls import Watch, current_holder
from ringback.calls.drafts import Drafts
from ringback.calls.lanes import Lanes
from ringback.errors import OutboxFull
from ringback.publish import Message, Outbox
from ringback.settings import Settings
from ringback.traffic import NOBODY


class FakeCall:
    """The part of a call that its message needs."""

    ignored = False
    reports_expiry = False
    is_waiting = False
    lane = None
    tenant = NOBODY
    future: object = None
    due: float | None = None

    def __init__(self, call_id: str, watch: Watch | None = None) -> None:
        self.id, self.watch = call_id, watch


class FakeWaiting:
    """Runs the posted functions when the test calls ``give_way``."""

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
        """Do what happens when the handler gives way to the loop."""
        while self.soon:
            self.soon.pop(0)()


class FakeHolder:
    deadline: float | None = None
    unread = 0.0


class Core:
    """Drafts with an outbox, and the loop in the test's hands."""

    def __init__(self, limit: int = 10) -> None:
        self.known: dict[str, Any] = {}
        self.waiting, self.outbox = FakeWaiting(), Outbox(limit)
        lanes = Lanes(self.outbox, self.waiting, SimpleNamespace(read_soon=print), Settings())  # type: ignore[arg-type]
        self.drafts = Drafts(self.outbox, self.known, self.waiting, lanes, deadline=25.0)  # type: ignore[arg-type]

    def call(self, call_id: str = "a", kept: bool = True, **options: Any) -> FakeCall:
        """Call a task; ``kept`` says whether the handler keeps the call."""
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
        """Give way, and return the only message in the outbox."""
        self.waiting.give_way()
        [message] = self.outbox.take_all()
        return message


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def holder() -> Any:
    """A request that is held while the test runs."""
    held = FakeHolder()
    token = current_holder.set(held)  # type: ignore[arg-type]
    yield held
    current_holder.reset(token)


def test_a_message_stays_a_draft_until_the_handler_gives_way(core: Core) -> None:
    core.call()

    assert len(core.outbox) == 0
    core.waiting.give_way()
    assert len(core.outbox) == 1


def test_a_burst_of_calls_is_one_pass(core: Core) -> None:
    for number in range(10):
        core.call(str(number))

    assert len(core.waiting.soon) == 1
    core.waiting.give_way()
    assert len(core.outbox) == 10


def test_a_call_that_is_awaited_at_once_has_its_deadline(holder: FakeHolder) -> None:
    core = Core()
    holder.deadline = 5.0
    call = core.call()

    assert core.drafts.expire(call) == 5.0  # type: ignore[arg-type]
    assert core.sent().expires == 5.0


@pytest.mark.parametrize(("unread", "left"), [(2.0, 3.0), (5.0, 0.001), (60.0, 0.001)])
def test_what_a_request_has_waited_to_be_read_is_part_of_its_deadline(
    holder: FakeHolder, unread: float, left: float
) -> None:
    core = Core()
    holder.deadline, holder.unread = 5.0, unread
    call = core.call()

    assert core.drafts.expire(call) == left  # type: ignore[arg-type]
    assert core.sent().expires == left


def test_a_call_that_is_awaited_late_has_its_deadline_all_the_same(holder: FakeHolder) -> None:
    core = Core()
    call = core.call()
    message = core.sent()

    assert message.expires == 25.0
    left = core.drafts.expire(call)  # type: ignore[arg-type]
    assert 0 < left <= 25.0  # counted from the call, and not from the await


def test_a_call_that_was_dropped_has_no_deadline(holder: FakeHolder) -> None:
    core = Core()
    core.call(kept=False)

    assert core.sent().expires is None


def test_a_call_outside_a_request_has_no_deadline_until_it_is_awaited(core: Core) -> None:
    call = core.call()

    assert core.sent().expires is None
    assert core.drafts.expire(call) == 25.0  # type: ignore[arg-type]


def test_the_callers_own_expiry_wins(holder: FakeHolder) -> None:
    core = Core()
    call = core.call(expires=3)

    assert core.drafts.expire(call) == 3.0  # type: ignore[arg-type]
    assert core.sent().expires == 3.0


def test_a_submitted_call_is_complete_at_once(core: Core) -> None:
    seen: list[str] = []
    watch = Watch("a", lambda meta: None, lambda: seen.append("confirmed"))
    core.call(watch=watch, expires=60, reports_expiry=True)

    [message] = core.outbox.take_all()
    assert message.expires is None  # the broker would drop it silently
    assert message.on_confirmed is not None
    message.on_confirmed()
    assert seen == ["confirmed"]


def test_a_confirmed_call_without_result_is_settled(core: Core) -> None:
    call = core.call(watch=Watch("a", lambda meta: None, lambda: None))
    call.ignored = True

    [message] = core.outbox.take_all()
    assert message.on_confirmed is not None
    message.on_confirmed()
    assert [call_id for call_id, _ in core.waiting.settled] == ["a"]


def test_drafts_count_towards_the_limit_of_the_outbox() -> None:
    core = Core(limit=2)
    core.call("a")
    core.call("b")

    with pytest.raises(OutboxFull):
        core.call("c")

    assert core.drafts.withdraw("a")
    assert not core.drafts.withdraw("a")
    core.call("d")
    core.waiting.give_way()
    assert [message.call_id for message in core.outbox.take_all()] == ["b", "d"]


def test_a_draft_of_the_same_id_takes_the_place_of_the_first() -> None:
    desk = Core(limit=1)
    desk.call("a")
    desk.call("a")
    assert desk.sent().call_id == "a"
    desk.outbox.release()

    desk.call("b")  # no place was lost
    assert desk.sent().call_id == "b"
