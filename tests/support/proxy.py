"""A TCP proxy that breaks connections to a server as networks do.

One plain thread runs every socket; the methods pass their work to it and return once it is done.
"""

from __future__ import annotations

import enum
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Any, TypeVar

from servers import free_port

CHUNK = 65536  # bytes of one read; one direction never buffers more
TIMEOUT = 10  # seconds that a caller waits for the proxy's thread
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: close() sends RST

T = TypeVar("T")
Act = Callable[[int], object]  # what to do when a socket is ready for these events
_Mode = enum.Enum("_Mode", "OPEN CUT STALLED BLACKHOLE CLOSED")


class _Flow:
    """One direction of a connection: the bytes that were read from the source and not yet sent."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.held = b""
        self.ended = False

    @property
    def wants_input(self) -> bool:
        return not self.held and not self.ended

    def move(self) -> None:
        """Move the bytes that can be moved without waiting; raises OSError if an end is gone."""
        with suppress(BlockingIOError):
            if self.wants_input:
                self.held = self.source.recv(CHUNK)
                self.ended = not self.held
            if self.held:
                self.held = self.held[self.sink.send(self.held) :]
        if self.ended:
            self.sink.shutdown(socket.SHUT_WR)


def _close(end: socket.socket, reset: bool) -> None:
    with suppress(OSError):  # macOS refuses options of a socket whose peer is gone
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()


class _Link:
    """A client's connection, and its connection to the server."""

    def __init__(self, client: socket.socket, silent: bool) -> None:
        self.server = socket.socket()
        self.ends = client, self.server
        self.flows = _Flow(client, self.server), _Flow(self.server, client)
        self.silent = silent  # for ever: half-open
        self.connected = False
        for end in self.ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def wanted(self, end: socket.socket) -> int:
        """Return the events to watch an end for."""
        if not self.connected:
            return EVENT_WRITE if end is self.server else 0
        events = 0
        for flow in self.flows:
            if flow.source is end and flow.wants_input:
                events |= EVENT_READ
            if flow.sink is end and flow.held:
                events |= EVENT_WRITE
        return events

    def move(self, end: socket.socket, events: int) -> None:
        """Read or write at an end that is ready; raises OSError if either end is gone."""
        self.connected = True  # or refused, which the first use of the socket shows
        for flow in self.flows:
            if events & (EVENT_READ if flow.source is end else EVENT_WRITE):
                flow.move()


class Proxy:
    """A proxy to a server, on a loopback `port` of its own; it resets clients that the server refuses."""

    def __init__(self, host: str, port: int) -> None:
        self.port = free_port()
        self._server = host, port
        self._mode = _Mode.OPEN
        self._links: set[_Link] = set()
        self._orders: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._bell, self._ear = socket.socketpair()
        self._selector = DefaultSelector()
        self._watch(self._ear, EVENT_READ, lambda _: self._ear.recv(CHUNK))
        self._bind()
        self._enter(_Mode.OPEN)
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """The number of clients: with half-open ones, without those that connected during a stall."""
        return self._order(lambda: len(self._links))

    def cut(self) -> None:
        """Reset all connections and refuse new ones (ECONNREFUSED) until `restore`."""
        self._order(partial(self._enter, _Mode.CUT))

    def stall(self) -> None:
        """Keep and accept connections, but pass no byte until `restore`; then pass them all."""
        self._order(partial(self._enter, _Mode.STALLED))

    def blackhole(self) -> None:
        """Stall, and leave the present connections half-open for ever: `restore` helps new ones only."""
        self._order(partial(self._enter, _Mode.BLACKHOLE))

    def restore(self) -> None:
        """End a cut, a stall or a black hole; it does nothing when there is none."""
        self._order(partial(self._enter, _Mode.OPEN))

    def drop_connections(self) -> None:
        """Reset all connections, and go on with new ones as before."""
        self._order(self._drop_all)

    def close(self) -> None:
        """Reset all connections, end the thread and give the port back."""
        if self._thread.is_alive():
            self._order(partial(self._enter, _Mode.CLOSED))
            self._thread.join()
            for resource in (self._selector, self._listener, self._bell, self._ear):
                resource.close()

    def _order(self, action: Callable[[], T]) -> T:
        if not self._thread.is_alive():
            raise RuntimeError("the proxy is closed")
        outcome: Future[T] = Future()
        self._orders.append((action, outcome))
        self._bell.send(b"!")
        return outcome.result(TIMEOUT)

    def _run(self) -> None:  # this and all following methods run on the proxy's thread
        while self._mode is not _Mode.CLOSED:
            for key, events in self._selector.select():
                key.data(events)
            self._obey()

    def _obey(self) -> None:
        while self._orders:
            action, outcome = self._orders.popleft()
            try:
                outcome.set_result(action())
            except Exception as error:
                outcome.set_exception(error)

    def _enter(self, mode: _Mode) -> None:
        if self._mode is _Mode.BLACKHOLE:
            self._accept()
            for link in self._links:
                link.silent = True
        self._mode = mode
        if mode in (_Mode.CUT, _Mode.CLOSED):
            self._refuse()
        else:
            # In a stall only the kernel accepts connections: the server must not see them yet.
            self._listener.listen(1024)
            self._watch(self._listener, EVENT_READ if mode is _Mode.OPEN else 0, self._accept)
        for link in self._links:
            self._follow(link)

    def _bind(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setblocking(False)
        self._listener.bind(("127.0.0.1", self.port))

    def _refuse(self) -> None:
        self._drop_all()
        self._watch(self._listener, 0)
        self._listener.close()
        self._bind()  # bound, but not listening: it refuses, and keeps the port

    def _calls(self) -> Iterator[socket.socket]:
        with suppress(OSError):  # no client connects, or it does not listen
            while True:
                yield self._listener.accept()[0]

    def _accept(self, _: int = 0) -> None:
        lost = self._mode is _Mode.BLACKHOLE
        for client in self._calls():
            link = _Link(client, silent=lost)
            if not lost:
                link.server.connect_ex(self._server)
            self._links.add(link)
            self._follow(link)

    def _follow(self, link: _Link) -> None:
        passes = self._mode is _Mode.OPEN and not link.silent and link in self._links
        for end in link.ends:
            self._watch(end, link.wanted(end) if passes else 0, partial(self._move, link, end))

    def _watch(self, end: socket.socket, wanted: int, act: Act | None = None) -> None:
        key = self._selector.get_map().get(end)
        if key and key.events != wanted:
            self._selector.unregister(end)
        if wanted and (not key or key.events != wanted):
            self._selector.register(end, wanted, act)

    def _move(self, link: _Link, end: socket.socket, events: int) -> None:
        if link not in self._links:  # dropped in this turn because of its other end
            return
        try:
            link.move(end, events)
        except OSError:
            self._drop(link, reset=True)
        else:
            self._follow(link)
            if all(flow.ended for flow in link.flows):
                self._drop(link, reset=False)

    def _drop(self, link: _Link, reset: bool) -> None:
        self._links.discard(link)
        self._follow(link)
        for end in link.ends:
            _close(end, reset)

    def _drop_all(self) -> None:
        for client in self._calls():
            _close(client, reset=True)
        for link in list(self._links):
            self._drop(link, reset=True)
