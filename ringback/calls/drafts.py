"""The step between a task call and the outbox, in which a message is completed. Any greenlet; no switch of greenlets.

``task.delay()`` makes a message before ``.then()`` or ``await`` says that a request waits for its result, and with it
the deadline. So the message is a draft until the running code has given way to the loop. A call that its request has
kept by then, to await it later, gets the request's deadline, too. A call that was dropped (``task.delay()`` as a
statement of its own) gets none, and runs whenever a worker comes to it. The message of a submitted call is complete at
once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from ringback.calls.call import Call, Watch, current_holder
from ringback.calls.lanes import Lanes
from ringback.calls.waiting import Waiting
from ringback.errors import NoResult, Refused
from ringback.publish import Message, Outbox

#: Seconds that a call has at least.
LEAST = 0.001


class Drafts:
    """Completes messages, and puts them into the outbox.

    :param known: the calls that are kept, by id.
    :param lanes: of the queues; they refuse a call whose answer would come too late, and send the others.
    :param deadline: seconds for a call whose handler sets none.
    """

    def __init__(
        self, outbox: Outbox, known: Mapping[str, Call], waiting: Waiting, lanes: Lanes, deadline: float
    ) -> None:
        self._outbox, self._known, self._waiting = outbox, known, waiting
        self._lanes, self._deadline = lanes, deadline
        self._drafts: dict[str, tuple[Message, float | None]] = {}

    def accept(self, message: Message) -> None:
        """Take the message of a call that is being made.

        :raises Refused: there is no place for it, or its answer would come too late.
        """
        call = self._known.get(message.call_id)
        if call is not None and call.watch is not None:
            self._lanes.admit(message, call.tenant, call.watch.patience)
        if message.call_id not in self._drafts:  # a draft of the same id is replaced, and has a place
            self._outbox.reserve(message.call_id)
        if call is not None and call.watch is not None:
            message.on_confirmed = partial(self._waiting.loop_queue.post, self._on_confirmed, call, call.watch)
            if call.reports_expiry:
                message.stay_queued()
            self._lanes.send(message, call, call.watch.patience)
            return
        self._drafts[message.call_id] = message, self._deadline_of_request()
        if len(self._drafts) == 1:
            self._waiting.on_loop(self.complete)

    def expire(self, call: Call) -> float:
        """Give a call that is about to wait its deadline, unless it has one; returns the seconds that are left.

        :raises Refused: its answer would come too late. Its message is taken back.
        """
        deadline = self._deadline_of_request() or self._deadline
        draft = self._drafts.get(call.id)
        if draft is None:  # it has left, with the deadline that it had then
            return deadline if call.due is None else max(0.0, call.due - time.monotonic())
        message, _ = draft
        if message.expires is None:
            message.expire_after(deadline)
        try:
            self._lanes.admit(message, call.tenant, message.expires or deadline)
        except Refused:
            self.withdraw(call.id)
            raise
        return message.expires or deadline

    def withdraw(self, call_id: str) -> bool:
        """Take the message of a call back; returns false if it has left."""
        if self._drafts.pop(call_id, None) is None:
            call = self._known.get(call_id)
            return (call is not None and self._lanes.withdraw(call)) or self._outbox.withdraw(call_id)
        self._outbox.cancel()
        return True

    def complete(self) -> None:
        """Complete all drafts and put them into the outbox."""
        drafts, self._drafts = self._drafts, {}
        for message, deadline in drafts.values():
            call = self._known.get(message.call_id)
            if call is not None and call.future is None:  # kept, and not awaited yet
                if message.expires is None and deadline is not None:
                    message.expire_after(deadline)
                if message.expires is not None:
                    call.due = time.monotonic() + message.expires
            if call is not None and call.is_waiting:
                self._lanes.send(message, call, message.expires)
            else:
                self._outbox.put(message)

    def _deadline_of_request(self) -> float | None:
        """The seconds for each call of the request that the running code answers; ``None`` if there is no request."""
        holder = current_holder.get()
        if holder is None:
            return None
        return max(LEAST, (holder.deadline or self._deadline) - holder.unread)

    def _on_confirmed(self, call: Call, watch: Watch) -> None:
        watch.on_confirmed()
        if call.ignored:
            self._waiting.settle(call.id, NoResult("the task ignores its result", call.id))
