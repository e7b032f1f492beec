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

from ringback.errors import BrokerUnavailable, PublishUnconfirmed, RingbackError
from ringback.publish.link import PublishLink
from ringback.publish.outbox import Message, Outbox
from ringback.settings import Settings
from ringback.wire.backoff import ReconnectBackoff

logger = logging.getLogger(__name__)

#: Seconds between two looks at what takes too long: a fraction of the shortest publish time-out worth setting.
WATCH_INTERVAL = 0.1

#: How often one message is written. A message whose confirm was lost with its connection goes out once more, with the
#: same task id: better twice, which Celery's own publish retry does as well, than never.
MAX_TRIES = 2


class Publisher:
    """Writes the outbox to the broker, over a link that is rebuilt for as long as it takes.

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
        self._outage = ReconnectBackoff()
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    def start(self) -> None:
        """Begin to publish; returns at once."""
        self._greenlets = [gevent.spawn(self._run), gevent.spawn(self._watch)]

    def stop(self) -> None:
        """Stop, as soon as the outbox is published or the publish time-out has passed."""
        self._outbox.done.wait(self._settings.publish_timeout)
        gevent.killall(self._greenlets, block=False)
        if self._link:
            self._link.abort()

    def check(self) -> None:
        """Say no before a message is made that cannot leave.

        :raises BrokerUnavailable: no broker for longer than the publish time-out, or it takes no messages.
        """
        if self._link and self._link.blocked:
            raise BrokerUnavailable("the broker takes no messages for now")
        if self._outage.exceeds(self._settings.publish_timeout):
            raise BrokerUnavailable("the broker cannot be reached")

    def _run(self) -> None:
        while True:
            try:
                self._serve(PublishLink(self._app, self._outbox, self._fail, self._settings, self._outage.attempts))
            except Exception as error:
                pause = self._outage.next_attempt()
                logger.warning("no connection for publishing, next attempt in %.1f s: %s", pause, error)
                gevent.sleep(pause)

    def _serve(self, link: PublishLink) -> None:
        self._link = link
        self._outage.end()
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
                self._outbox.settle()
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
