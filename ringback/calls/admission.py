"""Whether a call can be made now: the clear no that is said before anything is published. Any greenlet; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from ringback.broker import QueueDepths
from ringback.calls.waiting import Waiting
from ringback.errors import RepliesUnavailable, ShuttingDown, TooManyDetached, TooManyHeld
from ringback.publish import Publisher
from ringback.replies import ReplyConsumer
from ringback.settings import Settings


@dataclass(frozen=True, slots=True)
class Load:
    """How much a switchboard has to do."""

    waiting: int  #: calls that wait for a result
    detached: int  #: those of them that no client waits for
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

    def admit(self, count: int = 1, detached: bool = False) -> None:
        """Check that so many calls may be made now.

        What goes on without a client that waits has a limit of its own, so that it takes no place from those that wait.

        :param detached: whether no client waits for them.
        :raises Refused: as ``check``, or there are too many calls of this kind.
        """
        self.check()
        if detached:
            if self._waiting.detached + count > (limit := self._settings.detached_limit):
                raise TooManyDetached(f"{limit} calls go on that no client waits for; RINGBACK_DETACHED_LIMIT")
        elif self._waiting.held + count > (limit := self._settings.held_limit):
            raise TooManyHeld(f"{limit} calls wait for a result; RINGBACK_HELD_LIMIT sets the limit")

    def admit_message(self, call_id: str, queue: str | None) -> None:
        """Check that the message of a call may be published to this queue.

        :raises Refused: as ``admit``, or the queue is too long.
        """
        if call_id not in self._waiting:  # else the call was admitted when it was submitted
            self.admit()
        if queue is not None:
            self._queue_depths.check(queue)
