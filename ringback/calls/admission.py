"""Whether a call can be made now: the clear no that is said before anything is published. Any greenlet; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from ringback.broker import QueueDepths
from ringback.calls.call import Watch, current_tenant
from ringback.calls.waiting import Waiting
from ringback.errors import RepliesUnavailable, ShuttingDown, TooManyDetached, TooManyHeld, TooManyOpen
from ringback.publish import Publisher
from ringback.replies import ReplyConsumer
from ringback.settings import Settings
from ringback.traffic import Tenant


@dataclass(frozen=True, slots=True)
class Load:
    """How much a switchboard has to do."""

    waiting: int  #: calls that wait for a result
    detached: int  #: those of them that no client waits for, and that are not delayed
    delayed: int  #: those of them that no client waits for, and that no worker may start yet
    unsent: int  #: messages that wait to be sent
    unconfirmed: int  #: messages that were sent and are not confirmed


class Admission:
    """Admits each call once: when it is submitted, or else when its message is about to be made."""

    def __init__(
        self,
        settings: Settings,
        waiting: Waiting,
        publisher: Publisher,
        consumer: ReplyConsumer,
        queue_depths: QueueDepths,
    ) -> None:
        self._settings, self._waiting, self._publisher = settings, waiting, publisher
        self._consumer, self._queue_depths = consumer, queue_depths
        self._closed = False

    def close(self) -> None:
        """Admit no more calls: this process is ending."""
        self._closed = True

    def check(self) -> None:
        """Check that calls could be made now, and that their results could come back.

        :raises Refused: this process is ending, or the broker or the replies are away.
        """
        if self._closed:
            raise ShuttingDown("this process is shutting down")
        self._publisher.check()
        if self._consumer.backoff.lost_for(self._settings.publish_timeout):
            raise RepliesUnavailable("results cannot come back for now")

    def admit(self, tenant: Tenant, count: int = 1, watch: Watch | None = None) -> None:
        """Check that a tenant may make so many calls now.

        Calls that a client waits for, those that none waits for, and those of them that are delayed each have a limit
        of their own, so that they take no places from one another.

        :param watch: of the first of them, if they are submitted.
        :raises Refused: as ``check``, or there are too many calls of this kind.
        """
        self.check()
        self._waiting.count_due()
        shares = self._waiting.shares_for(watch)
        if shares.has_room(tenant, count):
            return
        variable = "RINGBACK_HELD_LIMIT" if shares is self._waiting.held else "RINGBACK_DETACHED_LIMIT"
        if 0 < (own := shares.of(tenant)) < shares.total:
            share = f"its share is {shares.share(tenant)} while others have {shares.total - own}; {variable}"
            raise TooManyOpen(f"{tenant.name or 'this program'} has {own} open calls, and {share}")
        if shares is self._waiting.held:
            raise TooManyHeld(f"{shares.total} calls wait for a result; {variable} sets the limit")
        raise TooManyDetached(f"{shares.total} calls go on that no client waits for; {variable} sets the limit")

    def admit_message(self, call_id: str, queue: str | None) -> None:
        """Check that the message of a call may be published to this queue.

        :raises Refused: as ``admit``, or the queue is too long.
        """
        if call_id not in self._waiting:  # else the call was admitted when it was submitted
            self.admit(current_tenant())
        if queue is not None:
            self._queue_depths.check(queue)
