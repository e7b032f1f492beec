"""From the outbox to the broker, confirmed.

Three greenlets. The publisher owns the link and is the only one to write on it. Its reader is the only one to read
from it, which is how confirms arrive. The watch never waits for the broker: it ends what takes too long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import gevent
from celery import Celery

from ringback.broker import Message
from ringback.errors import BrokerUnavailable, PublishUnconfirmed, RingbackError
from ringback.publish.link import PublishLink
from ringback.publish.outbox import Outbox
from ringback.settings import Settings
from ringback.wire import ReconnectBackoff, keep_connected

logger = logging.getLogger(__name__)

#: Seconds between two looks for overdue messages: a fraction of the shortest sensible publish time-out.
WATCH_INTERVAL = 0.1

#: How often one message is written. A message whose confirm was lost with its connection is written once more, with
#: the same task id: running twice is better than never, and Celery's own publish retry does the same.
MAX_TRIES = 2


class Publisher:
    """Writes the outbox to the broker, over a link that is rebuilt whenever it is lost.

    :param app: whose broker it is.
    :param outbox: what to publish.
    :param on_failure: called on a publisher's greenlet with the id of a call whose message was not confirmed, and why.
    """

    def __init__(
        self, app: Celery, outbox: Outbox, on_failure: Callable[[str, RingbackError], None], settings: Settings
    ) -> None:
        self._app = app
        self._outbox = outbox
        self._on_failure = on_failure
        self._settings = settings
        self._link: PublishLink | None = None
        self._backoff = ReconnectBackoff()
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    def start(self) -> None:
        """Start to publish; returns at once."""
        publisher = gevent.spawn(keep_connected, self._serve, self._backoff, "publishing")
        self._greenlets = [publisher, gevent.spawn(self._watch)]

    def stop(self) -> None:
        """Stop as soon as the outbox is published, or the publish time-out has passed."""
        self._outbox.done.wait(self._settings.publish_timeout)
        gevent.killall(self._greenlets, block=False)
        if self._link:
            self._link.abort()

    def check(self) -> None:
        """Check that a message could leave now.

        :raises BrokerUnavailable: the broker takes no messages, or has been lost for longer than the publish time-out.
        """
        if self._link and self._link.blocked:
            raise BrokerUnavailable("the broker takes no messages for now")
        if self._backoff.lost_for(self._settings.publish_timeout):
            raise BrokerUnavailable("the broker cannot be reached")

    def _serve(self) -> None:
        link = PublishLink(self._app, self._outbox, self._fail, self._settings, self._backoff.attempts)
        self._link = link
        self._backoff.connected()
        logger.info("publishing to the broker")
        try:
            link.publish_until_lost()
        finally:
            self._link = None
            self._take_over(link.surrender())

    def _take_over(self, messages: list[Message]) -> None:
        self._outbox.put_back([message for message in messages if message.tries < MAX_TRIES])
        for message in messages:
            if message.tries >= MAX_TRIES:
                self._outbox.release()
                self._fail(message, "the connection to the broker was lost twice before it confirmed the message")

    def _watch(self) -> None:
        while True:
            gevent.sleep(WATCH_INTERVAL)
            born_before = time.monotonic() - self._settings.publish_timeout
            for message in self._outbox.take_older(born_before):
                self._fail(message, "the broker did not take the message in time")
            if self._link:
                self._link.expire(born_before)

    def _fail(self, message: Message, why: str) -> None:
        error = BrokerUnavailable if message.tries == 0 else PublishUnconfirmed
        self._on_failure(message.call_id, error(why, message.call_id))
