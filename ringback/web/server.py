"""The life of the web process: start, serve, drain, end. On the main greenlet."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from typing import Any

import tornado.web

from ringback.calls import Switchboard
from ringback.errors import BadSetting
from ringback.web import audit, tickets
from ringback.web.access import SETTING, Access, Tokens, access_of, check_address
from ringback.web.error_answers import answering_errors
from ringback.web.handlers import RequestHandler
from ringback.web.held_request import HeldRequest
from ringback.web.http_server import BoundedHTTPServer
from ringback.web.loop import Loop
from ringback.web.pages import ORIGINS
from ringback.web.sockets import listen
from ringback.web.supervisor import ProcessContext
from ringback.web.tickets import Tickets
from ringback.wire import relieve_the_garbage_collector

logger = logging.getLogger(__name__)

#: Seconds between two looks whether the last held request is answered: Tornado does not report the end of a handler.
DRAIN_INTERVAL = 0.05


def serve(
    application: tornado.web.Application,
    switchboard: Switchboard,
    port: int,
    address: str,
    example: str = "/",
    context: ProcessContext | None = None,
    access: Access | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is held within the grace time, and return.

    :param port: TCP port; 0 for a free one.
    :param address: host name or IP address to listen on.
    :param example: a path to try, for the line that is printed.
    :param context: of this process, if it is one of several; its sockets replace port and address.
    :param access: finds out who asks; by default the tokens of the settings.
    :raises BadSetting: it cannot listen there, or other machines could reach it and no token is needed.
    """
    access = access_of(switchboard, access)
    check_address(switchboard.settings, access, address)
    application.settings[SETTING] = access
    if switchboard.settings.ticket_key:
        application.settings[tickets.SETTING] = Tickets(switchboard.settings.ticket_key.encode())
    application.settings[ORIGINS] = switchboard.settings.cors
    if switchboard.settings.audit:
        application.settings[audit.SETTING] = True
        audit.start()
    _prepare_handlers(application, access)
    life = _serve(application, switchboard, port, address, example, context)
    if sys.version_info < (
        3,
        11,
    ):  # without asyncio.Runner; asyncio's own loop is a little slower
        asyncio.run(life)
        return
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(life)


def _prepare_handlers(application: tornado.web.Application, access: Access) -> None:
    """Have every handler answer a ``RingbackError`` with its own status, Tornado's plain handlers included.

    A request with a body is authenticated before the body is read.
    """
    delegate = application.get_handler_delegate

    def get_handler_delegate(request: Any, target_class: type[Any], *args: Any, **kwargs: Any) -> Any:
        if access.is_guarded and issubclass(target_class, RequestHandler) and not target_class.is_public(request):
            has_body = "Content-Length" in request.headers or "Transfer-Encoding" in request.headers
            if has_body:
                target_class.authenticate(request, application.settings)
        return delegate(request, answering_errors(target_class), *args, **kwargs)  # type: ignore[arg-type]

    application.get_handler_delegate = get_handler_delegate  # type: ignore[method-assign]


async def _serve(
    application: tornado.web.Application,
    switchboard: Switchboard,
    port: int,
    address: str,
    example: str,
    context: ProcessContext | None,
) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    switchboard.start()
    access = access_of(switchboard)
    server = BoundedHTTPServer(application, switchboard.settings, access.is_guarded)
    if isinstance(access, Tokens) and switchboard.settings.tokens_file:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, access)
        access.reload()  # a SIGHUP may have come before
    try:
        sockets = context.sockets() if context else listen(port, address)
    except BadSetting:
        switchboard.stop()
        raise
    relieve_the_garbage_collector()
    if context:
        server.connections.balance = context.balance
    server.add_sockets(sockets)
    if not context or context.first:
        _announce(sockets[0], example)
    if context:
        context.serving(ended.set)
    await ended.wait()
    await _drain(application, server, switchboard)


def _reload(tokens: Tokens) -> None:
    """Read the tokens file again, and end what lasts, such as WebSockets, of callers that are not in it any more."""
    try:
        tokens.reload()
    except BadSetting as error:
        logger.error("the tokens stay as they were: %s", error)
    else:
        logger.info("RINGBACK_TOKENS_FILE is read again")
        for handler in HeldRequest.handlers():
            if isinstance(handler, RequestHandler) and not handler.is_still_allowed():
                handler.on_caller_removed()


def _announce(sock: socket.socket, example: str) -> None:
    host, port = sock.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"Ringback listens on {url}\nTry: curl {url.replace('0.0.0.0', '127.0.0.1')}{example}", flush=True)


async def _drain(application: tornado.web.Application, server: BoundedHTTPServer, switchboard: Switchboard) -> None:
    application.settings["draining"] = True
    server.stop()
    for handler in HeldRequest.handlers():
        if isinstance(handler, RequestHandler):
            handler.on_drain()
    logger.info("shutting down: %d requests held", HeldRequest.held())
    loop = asyncio.get_running_loop()
    end = loop.time() + switchboard.settings.grace
    while HeldRequest.held() and loop.time() < end:
        await asyncio.sleep(DRAIN_INTERVAL)
    switchboard.stop()
    while HeldRequest.held() and loop.time() < end + 1:
        await asyncio.sleep(DRAIN_INTERVAL)
    await server.close_all_connections()
