"""What is refused, sent at once, or kept back, and by which turns what is kept back is sent."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kombu import Queue

from clock import Clock
from ringback.broker import Depth, QueueDepths
from ringback.calls import Call, Watch
from ringback.calls.lanes import LATEST, Lanes
from ringback.calls.waiting import Waiting
from ringback.errors import NoWorker, QueueTooLong, RingbackError, TooManyOpen
from ringback.publish import Message, Outbox
from ringback.settings import Settings
from ringback.traffic import Lane, Tenant
from ringback.traffic.window import FIRST

ONE, OTHER = Tenant("one"), Tenant("other")


class Core:
    """Lanes with an outbox, whose depth readings, clock and loop are in the test's hands."""

    def __init__(self, clock: Clock, **settings: Any) -> None:
        self.clock, self.outbox, self.asked = clock, Outbox(1000), 0
        self.calls: dict[str, Any] = {}
        self.settled: dict[str, RingbackError] = {}
        self.depths = SimpleNamespace(read_soon=self._read_soon)
        waiting = SimpleNamespace(on_loop=lambda function: None, get=self.calls.get, settle=self._settle)
        self.lanes = Lanes(
            self.outbox, cast(Waiting, waiting), cast(QueueDepths, self.depths), Settings(**settings), clock
        )

    def _read_soon(self, name: str) -> None:
        self.asked += 1

    def _settle(self, call_id: str, error: RingbackError) -> None:
        self.settled[call_id] = error
        self.lanes.settle(self.calls.pop(call_id), error)

    def read(self, messages: int, consumers: int | None = 1, times: int = 1, queue: str = "celery") -> None:
        for _ in range(times):
            self.clock.now += 0.5
            self.lanes.read(queue, Depth(messages, consumers))

    def send(self, tenant: Tenant = ONE, patience: float | None = 25.0, queue: str = "celery") -> Call:
        """Send a call; it is admitted first."""
        call_id = str(len(self.calls))
        watch = Watch(call_id, print, print, patience)
        call: Any = SimpleNamespace(
            id=call_id, tenant=tenant, watch=watch, lane=None, place=None, state="SUCCESS", is_detached=patience is None
        )
        sent = message(call_id, queue)
        self.lanes.admit(sent, tenant, patience)
        self.outbox.reserve(call_id)
        self.calls[call_id] = call
        self.lanes.send(sent, call, patience)
        return cast(Call, call)

    def sent(self) -> list[str]:
        """The ids of what has been put into the outbox since the last time."""
        taken = self.outbox.take_all()
        for _ in taken:
            self.outbox.release()
        return [sent.call_id for sent in taken]

    def answer(self, call_id: str) -> None:
        self.lanes.settle(self.calls.pop(call_id), None)

    def fill(self) -> None:
        """Let a hundred calls wait, ten of which are answered each second."""
        self.read(50)
        self.lanes._lanes["celery"].window.limit = 1000
        for _ in range(100):
            self.send()
        for number in range(10):
            self.read(50)
            self.answer(str(2 * number))
            self.answer(str(2 * number + 1))


def message(call_id: str = "a", queue: str = "celery", **headers: object) -> Message:
    properties = {"delivery_mode": 2}
    return Message(call_id, b"", "application/json", "utf-8", headers, properties, "", queue, None, [Queue(queue)])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def core(clock: Clock) -> Core:
    return Core(clock)


def test_a_call_that_would_be_too_late_is_refused_with_the_time_to_come_back(core: Core) -> None:
    core.fill()

    core.lanes.admit(message(), ONE, 20)
    for _ in range(100):
        with pytest.raises(QueueTooLong, match=r"queue 'celery' answers after about 18\.0 s") as refused:
            core.lanes.admit(message(), ONE, 15)
        assert refused.value.retry_after is not None
        assert 3 <= refused.value.retry_after <= 6  # four seconds until it would be in time, spread


def test_what_is_delayed_and_what_goes_to_another_queue_is_not_refused(core: Core) -> None:
    core.fill()

    core.lanes.admit(message(eta="2026-12-01T00:00:00"), ONE, 5)
    core.lanes.admit(message(queue="another"), ONE, 5)
    call = core.send(queue="another")
    assert call.lane is None


def test_a_queue_without_workers_takes_nothing_that_is_waited_for(clock: Clock) -> None:
    core, patient = Core(clock), Core(clock, no_worker=0.0)
    for each in (core, patient):
        each.read(0, consumers=0, times=21)

    with pytest.raises(NoWorker, match="nobody has taken a task from queue 'celery'"):
        core.send()
    core.send(patience=None)
    patient.send()


def test_workers_that_take_nothing_are_not_said_to_be_missing(core: Core) -> None:
    core.read(0)
    core.send()
    core.read(1, consumers=3, times=21)

    with pytest.raises(QueueTooLong, match="the workers of queue 'celery' have taken no task for 10 s"):
        core.send()


def test_nothing_is_kept_back_before_the_window_is_full(core: Core) -> None:
    core.read(0)

    calls = [core.send() for _ in range(FIRST)]
    assert core.sent() == [call.id for call in calls]
    assert core.asked == 0

    kept_back = core.send()
    assert core.sent() == []
    assert core.asked == 1  # the depth says whether there may be more

    core.read(0)
    assert core.sent() == [kept_back.id]


def test_what_is_kept_back_is_sent_in_fair_turns_as_calls_are_answered(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST):
        core.send()
    many = [core.send().id for _ in range(5)]
    few = [core.send(OTHER).id for _ in range(2)]
    core.sent()

    for number in range(6):
        core.answer(str(number))

    assert core.sent() == [many[0], few[0], many[1], few[1], many[2], many[3]]


def test_a_call_that_nobody_waits_for_is_queued_at_once_unless_others_want_the_queue(core: Core) -> None:
    core.read(0)
    for _ in range(2 * FIRST):
        core.send(patience=None)
    assert len(core.sent()) == 2 * FIRST

    core.send(OTHER)
    kept_back = core.send(patience=None)
    assert core.sent() == []
    assert kept_back.place.number == 0


def test_what_nobody_waits_for_is_refused_while_others_wait_for_the_same_queue(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST):
        core.send(patience=None)
    core.send(OTHER)
    late = core.send(patience=None)

    core.clock.now += LATEST * Settings().publish_timeout
    core.lanes._refuse_late()

    assert isinstance(core.settled[late.id], TooManyOpen)
    assert core.settled[late.id].status == 429


def test_a_call_that_is_kept_back_for_too_long_is_refused_and_never_sent(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST):
        core.send()
    late = core.send(patience=2)
    core.sent()

    core.clock.now += LATEST * 2
    core.lanes._refuse_late()

    assert isinstance(core.settled[late.id], QueueTooLong)
    core.answer("0")
    assert core.sent() == []


def test_a_call_whose_client_has_gone_keeps_its_turn(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST):
        core.send()
    left: Any = core.send(patience=2)
    core.sent()
    left.is_detached = True
    core.lanes.on_client_gone(left.id)
    behind = core.send(patience=10)

    core.clock.now += 2
    core.lanes._refuse_late()
    core.answer("0")

    core.answer("1")
    assert core.settled == {}
    assert core.sent() == [left.id, behind.id]


def test_a_call_that_is_kept_back_can_be_withdrawn(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST):
        core.send()
    call = core.send()

    assert core.lanes.withdraw(call)
    assert not core.lanes.withdraw(call)
    assert not core.lanes.withdraw(core.calls["0"])


def test_while_the_broker_is_away_nothing_is_kept_back(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST + 3):
        core.send()
    core.sent()

    core.lanes.open()
    assert len(core.sent()) == 3

    core.clock.now += 2  # without a reading
    core.send()
    assert len(core.sent()) == 1


def test_a_message_that_was_kept_back_has_less_time_left(clock: Clock) -> None:
    kept_back = message()
    kept_back.expire_after(10)
    kept_back.born -= 4

    kept_back.was_kept_back()

    assert kept_back.expires is not None
    assert 5.9 < kept_back.expires <= 6


def test_at_the_end_only_what_nobody_waits_for_is_sent(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST):
        core.send()
    core.send()
    left: Any = core.send()
    left.is_detached = True
    core.sent()

    message = core.lanes._lanes["celery"].kept_back._lines["one"].items[left.id][0]
    message.born -= 60

    core.lanes.close()

    [taken] = core.outbox.take_all()
    assert taken.call_id == left.id
    assert taken.born == pytest.approx(time.monotonic(), abs=30)  # its publish time-out begins now


def test_at_the_end_a_full_outbox_stops_nothing(core: Core) -> None:
    core.read(0)
    for _ in range(FIRST):
        core.send()
    left: Any = core.send()
    left.is_detached = True
    while core.outbox.put_if_room(message(str(len(core.outbox)) + "x")):
        pass

    core.lanes.close()

    assert left.place.number == 0


def test_a_lane_is_contended_while_another_tenant_has_come_lately(clock: Clock) -> None:
    lane: Lane[object] = Lane(clock)
    lane.come(ONE, "add")
    assert not lane.is_contended(ONE)
    assert lane.is_contended(OTHER)

    lane.come(OTHER, "add")
    lane.come(OTHER, "add")
    assert lane.is_contended(ONE)
    assert lane.is_contended(OTHER)

    clock.now += 4
    lane.come(OTHER, "add")
    clock.now += 2
    assert not lane.is_contended(OTHER)
    assert lane.is_contended(ONE)
