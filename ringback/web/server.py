"""The life of the web process: start, serve, drain, end. On the main greenlet."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys

import tornado.web

from ringback.calls.switchboard import Switchboard
from ringback.errors import BadSetting
from ringback.web.handlers import HeldRequest
from ringback.web.http_server import BoundedHTTPServer
from ringback.web.loop import Loop
from ringback.web.sockets import listen
from ringback.web.supervisor import ProcessContext

logger = logging.getLogger(__name__)

#: Objects made since the last collection, and collections of the younger generation, that bring on the next. Python's
#: 700 and 10 look at a few thousand held requests all the time.
GC_THRESHOLDS = 10_000, 5, 10

#: Seconds between two looks at whether the last held request is answered: Tornado tells nobody when a handler ends.
DRAIN_INTERVAL = 0.05


def serve(
    application: tornado.web.Application,
    switchboard: Switchboard,
    port: int,
    address: str,
    example: str = "/",
    place: ProcessContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is held within the grace time, and return.

    :param port: TCP port; 0 for a free one.
    :param address: host name or IP address to listen on.
    :param example: a path to try, for the line that is printed.
    :param place: of this process, if it is one of several; its sockets go before port and address.
    :raises BadSetting: it cannot listen there.
    """
    life = _serve(application, switchboard, port, address, example, place)
    if sys.version_info < (3, 11):  # which takes no loop of ours, and is a little slower
        asyncio.run(life)
        return
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(life)


async def _serve(
    application: tornado.web.Application,
    switchboard: Switchboard,
    port: int,
    address: str,
    example: str,
    place: ProcessContext | None,
) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    switchboard.start()
    server = BoundedHTTPServer(application, switchboard.settings)
    try:
        sockets = place.sockets() if place else listen(port, address)
    except BadSetting:
        switchboard.stop()
        raise
    _spare_the_collector()
    server.add_sockets(sockets)
    if not place or place.first:
        _announce(sockets[0], example)
    if place:
        place.serving(ended.set)
    await ended.wait()
    await _drain(application, server, switchboard)


def _spare_the_collector() -> None:
    """Have the garbage collector look less often, and not at what stays: a fifth of a request's CPU was its.

    Requests leave little that only it can free (Tornado's handlers), and those that are held are no garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _announce(sock: socket.socket, example: str) -> None:
    host, port = sock.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"Ringback listens on {url}\nTry: curl {url.replace('0.0.0.0', '127.0.0.1')}{example}", flush=True)


async def _drain(application: tornado.web.Application, server: BoundedHTTPServer, switchboard: Switchboard) -> None:
    application.settings["draining"] = True
    server.stop()
    HeldRequest.drain()
    logger.info("shutting down: %d requests held", HeldRequest.held())
    loop = asyncio.get_running_loop()
    end = loop.time() + switchboard.settings.grace
    while HeldRequest.held() and loop.time() < end:
        await asyncio.sleep(DRAIN_INTERVAL)
    switchboard.stop()
    while HeldRequest.held() and loop.time() < end + 1:
        await asyncio.sleep(DRAIN_INTERVAL)
    await server.close_all_connections()
