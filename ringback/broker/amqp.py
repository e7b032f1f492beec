"""A link to a broker that speaks AMQP 0-9-1, over py-amqp."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from amqp import spec

from ringback.broker.link import Depth, Link
from ringback.broker.message import Message
from ringback.errors import UnsupportedVersion
from ringback.wire import Cork

#: AMQP 0-9-1, "reply-code"; the broker closes the channel with it.
NOT_FOUND = 404


class AMQPLink(Link):
    """A connection with one channel, which is in confirm mode if somebody publishes (RabbitMQ, "Publisher Confirms").

    :raises UnsupportedVersion: the connection has no socket to shut, so it could hang its owner.
    """

    needs_reader = acknowledges = True

    @property
    def cork(self) -> Cork:
        """``with link.cork:`` sends what is written within it in one piece."""
        return self._cork

    def _prepare(self) -> None:
        self._cork = Cork()
        options = self._connection.transport_options
        options["frame_writer"] = self._cork.frame_writer
        if self._listener is not None:
            options["on_blocked"], options["on_unblocked"] = self._listener.on_blocked, self._listener.on_unblocked

    def _open(self) -> None:
        if self._cork.socket is None:
            raise UnsupportedVersion("this py-amqp does not call its frame_writer, so its connections have no deadline")
        self.channel = self._connection.channel()
        if self._listener is not None:
            events = self.channel.events
            events["basic_ack"].add(self._listener.on_confirmed)
            events["basic_nack"].add(self._listener.on_refused)
            events["basic_return"].add(self._on_return)
            self.channel.confirm_select()

    def write(self, message: Message) -> None:
        """Write a message, as ``Link.write``."""
        # Without waiting for the broker's answer (nowait): an error closes the channel, which loses the link.
        self._declare(message, nowait=True)
        # Not channel.basic_publish: it reads from the socket first, which only the reader may do.
        raw = self._prepared(message) if message.encode is None else message.encode(message)
        arguments = (0, message.exchange, message.routing_key, True, False)  # mandatory
        self.channel.send_method(spec.Basic.Publish, "Bssbb", arguments, raw)

    def depth(self, name: str) -> Depth | None:
        """Ask how long a queue is, as ``Link.depth`` (AMQP 0-9-1, ``queue.declare``, "passive")."""
        with self.within(self._settings.connect_timeout):
            try:
                _, messages, consumers = self.channel.queue_declare(name, passive=True)
            except self._connection.channel_errors as error:
                if getattr(error, "code", None) != NOT_FOUND:
                    raise
                self.channel = self._connection.channel()  # the broker has closed this one
                return None
        return Depth(messages, consumers)

    def beat(self) -> None:
        """Send a heartbeat if one is due.

        :raises amqp.ConnectionForced: the broker has been silent for two heartbeats (AMQP 0-9-1, 4.2.7).
        """
        self._connection.transport.heartbeat_check(self._raw, rate=2)

    def abort(self) -> None:
        """Shut the socket, as ``Link.abort``."""
        if self._cork.socket is not None:
            with suppress(OSError):  # the peer was faster
                # Not its own method: over TLS that forgets the session, which py-amqp ends when the link is discarded.
                socket.socket.shutdown(self._cork.socket, socket.SHUT_RDWR)

    def _on_return(self, error: Exception, exchange: str, routing_key: str, returned: Any) -> None:
        # The broker returns an unroutable message before it confirms it.
        assert self._listener is not None
        self._declared.clear()
        self._listener.on_returned(
            returned.properties.get("correlation_id"), f"the broker has no queue for {routing_key!r}"
        )
