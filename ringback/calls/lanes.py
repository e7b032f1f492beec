"""The way of each message to its queue: refused, sent at once, or kept back and sent by fair turns.

A call whose answer would come too late is refused before it is made. Any greenlet, except where a method says
otherwise; no I/O and no switch of greenlets.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

from celery import states

from ringback.broker import Depth, QueueDepths
from ringback.calls.call import Call
from ringback.calls.timeouts import Timeouts
from ringback.calls.waiting import Waiting
from ringback.errors import DeadlineExceeded, NoWorker, OutboxFull, QueueTooLong, RingbackError, TooManyOpen
from ringback.publish import Message, Outbox
from ringback.settings import Settings
from ringback.traffic import MARGIN, Lane, Tenant

#: The part of a client's patience after which its message is not sent any more if it has been kept back until then.
LATEST = 0.9

#: What is kept back.
Kept = tuple[Message, Call]


class Lanes:
    """The lane of each queue whose depth is read.

    :param outbox: takes what is sent.
    :param waiting: the calls that wait; it tells ``settle`` of each that has ended.
    :param queue_depths: it tells ``read`` of each reading, and ``open`` when there are no more.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        outbox: Outbox,
        waiting: Waiting,
        queue_depths: QueueDepths,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox, self._waiting, self._read_soon = outbox, waiting, queue_depths.read_soon
        queue_depths.on_depth, queue_depths.on_lost, waiting.on_settled = self.read, self.open, self.settle
        self._no_worker, self._confirm_time, self._clock = settings.no_worker, settings.publish_timeout, clock
        self._lanes: dict[str, Lane[Kept]] = {}
        self._latest: Timeouts[str] = Timeouts(clock)  # when a call that is kept back would be too late

    def admit(self, message: Message, tenant: Tenant, patience: float | None) -> None:
        """Check that the answer of a call can come in time, or that its message can leave in time.

        :param patience: seconds that a client waits for the answer; ``None`` if none waits.
        :raises NoWorker: nobody takes tasks from its queue.
        :raises QueueTooLong: too many calls are ahead of it.
        :raises TooManyOpen: it would be queued at once, but other tenants want the queue, too.
        """
        lane = self._lane_of(message)
        if lane is None:
            return
        if patience is not None:
            self._admit_held(lane, message, tenant, patience)
        elif lane.is_contended(tenant) and lane.wait(tenant) > MARGIN * self._confirm_time:
            raise self._too_many_open(lane, message, tenant)

    def send(self, message: Message, call: Call, patience: float | None) -> None:
        """Put a message, whose place in the outbox is reserved, into it: now, or when its turn comes."""
        lane = self._lane_of(message)
        if lane is None:
            self._outbox.put(message)
            return
        call.lane, call.place = lane, lane.come(call.tenant, _task(message))
        waits_for_its_turn = patience is not None or lane.is_contended(call.tenant)
        if (lane.may_send and not lane.kept_back) or not waits_for_its_turn:
            self._put(lane, message, call)
        else:
            self._outbox.cancel()
            lane.kept_back.put(call.id, call.tenant, (message, call))
            self._latest.start(call.id, LATEST * (patience or self._confirm_time))
            self._read_soon(message.queue or "")

    def settle(self, call: Call, error: Exception | None) -> None:
        """Note that a call has ended, and send what is kept back in its queue."""
        lane: Lane[Kept] | None = call.lane
        if lane is None or call.place is None:
            return
        if isinstance(error, DeadlineExceeded):
            lane.give_up(call.place)
        if call.place.number:
            lane.end(call.place, answered=error is None, did=error is None and call.state != states.REVOKED)
        else:
            self._take_back(lane, call.id)
        self._send_kept_back(lane)

    def on_client_gone(self, call_id: str) -> None:
        """Note that no client waits for a call any more that goes on: its message is sent when its turn comes."""
        self._latest.stop(call_id)

    def withdraw(self, call: Call) -> bool:
        """Take the message of a call back; returns false if it is not kept back."""
        return call.lane is not None and self._take_back(call.lane, call.id) is not None

    def read(self, name: str, depth: Depth) -> None:
        """Take a reading of a queue."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self._clock)
        lane.read(depth.messages, depth.consumers)
        self._send_kept_back(lane)
        if lane.kept_back:
            self._read_soon(name)
            self._waiting.on_loop(self._refuse_late)

    def open(self) -> None:
        """Send all that is kept back, since the depths cannot be read: the outbox knows what to do without a broker."""
        for lane in self._lanes.values():
            self._send_kept_back(lane, all_of_it=True)
            while kept := lane.kept_back.take():  # there was no room in the outbox
                _, call = kept
                self._waiting.post(call.id, OutboxFull("the broker is away, and many wait for it", call.id))

    def close(self) -> None:
        """Send what is kept back and no client waits for, since this process is ending."""
        for lane in self._lanes.values():
            while kept := lane.kept_back.take():
                message, call = kept
                if call.is_detached and self._outbox.reserve_if_room():
                    self._put_late(lane, message, call)

    def complete(self, depths: dict[str, Depth]) -> dict[str, Depth]:
        """Add to the depth of each queue how many calls are kept back, and how long one behind all would wait."""
        return {name: self._completed(self._lanes[name], depth) for name, depth in depths.items()}

    def _completed(self, lane: Lane[Kept], depth: Depth) -> Depth:
        kept_back = len(lane.kept_back)
        return replace(depth, kept_back=kept_back, expected_wait=round(lane.pace.wait(kept_back), 3))

    def _admit_held(self, lane: Lane[Kept], message: Message, tenant: Tenant, patience: float) -> None:
        if self._no_worker and (untaken := lane.pace.untaken) >= self._no_worker:
            advice = "with Prefer: respond-async it is queued all the same"
            if not lane.pace.has_workers:
                why = f"nobody has taken a task from queue {message.queue!r} for {untaken:.0f} s"
                raise NoWorker(f"{why}; {advice}", message.call_id)
            why = f"the workers of queue {message.queue!r} have taken no task for {untaken:.0f} s"
            raise QueueTooLong(f"{why}; {advice}", message.call_id)
        if late := lane.late_by(tenant, _task(message), patience):
            wait, excess = lane.wait(tenant), lane.excess.of(_task(message))
            after = f"about {wait:.1f} s" + (f", and this task {excess:.1f} s later" if excess >= 0.1 else "")
            why = f"queue {message.queue!r} answers after {after}, and the request can wait {patience:.1f} s"
            error = QueueTooLong(why, message.call_id)
            # Spread, so that those who are refused together do not come back together.
            error.retry_after = max(1, round(late * random.uniform(0.8, 1.5)))
            raise error

    def _lane_of(self, message: Message) -> Lane[Kept] | None:
        """The lane of the queue of a message; ``None`` for a queue that is not read, and a message that is delayed."""
        if message.is_delayed or message.queue is None:
            return None
        return self._lanes.get(message.queue)

    def _put(self, lane: Lane[Kept], message: Message, call: Call) -> None:
        assert call.place is not None
        lane.send(call.place)
        self._outbox.put(message)

    def _send_kept_back(self, lane: Lane[Kept], all_of_it: bool = False) -> None:
        while lane.kept_back and (all_of_it or lane.may_send):
            if not self._outbox.reserve_if_room():
                return
            kept = lane.kept_back.take()
            assert kept is not None
            self._put_late(lane, *kept)

    def _put_late(self, lane: Lane[Kept], message: Message, call: Call) -> None:
        """Put a message that was kept back into its reserved place."""
        self._latest.stop(call.id)
        message.was_kept_back()
        self._put(lane, message, call)

    def _take_back(self, lane: Lane[Kept], call_id: str) -> Kept | None:
        self._latest.stop(call_id)
        return lane.kept_back.remove(call_id)

    def _refuse_late(self) -> None:
        """On the loop: refuse the calls that have been kept back for so long that their answer would be too late."""
        for call_id in self._latest.overdue():
            call = self._waiting.get(call_id)
            kept = call.lane.kept_back.remove(call_id) if call is not None and call.lane is not None else None
            if call is None or call.lane is None or kept is None:
                continue
            message, _ = kept
            if call.is_detached:
                error: RingbackError = self._too_many_open(call.lane, message, call.tenant)
            else:
                error = QueueTooLong(f"the turn of this call has not come in time in queue {message.queue!r}", call_id)
            self._waiting.settle(call_id, error)

    def _too_many_open(self, lane: Lane[Kept], message: Message, tenant: Tenant) -> TooManyOpen:
        kept_back = lane.kept_back.of(tenant)
        why = f"{kept_back} calls of {tenant.name} wait to be sent to queue {message.queue!r}, and others want it, too"
        return TooManyOpen(why, message.call_id)


def _task(message: Message) -> str:
    return str(message.headers.get("task", ""))
