"""The command line of a web process: flags and environment in, a served application out. On the main greenlet."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import tornado.options
from celery import Celery
from celery.app.utils import find_app
from tornado.options import define, options, parse_command_line
from tornado.web import Application

from ringback import api, settings
from ringback.broker import broker_urls, is_redis
from ringback.calls import Switchboard, install
from ringback.errors import BadSetting
from ringback.settings import Settings
from ringback.web import (
    Access,
    NotFound,
    ProcessContext,
    Tokens,
    check_address,
    fork,
    listen,
    serve,
    start_worker,
)

logger = logging.getLogger(__name__)

#: Seconds between two pings of a WebSocket; a client that does not answer one before the next is taken for gone.
PING_INTERVAL = 20


def main(
    app: Celery | None = None,
    handlers: Sequence[Any] = (),
    example: str = "/v1/tasks",
    access: Access | None = None,
) -> None:
    """Serve the HTTP interface of a Celery app, and these handlers beside it, until told to stop.

    :param app: if there is none, the flag ``--app`` names it.
    :param handlers: as for Tornado's ``Application``.
    :param example: a path to try, for the line that is printed.
    :param access: finds out who asks; by default the tokens of the settings.
    """
    _define_flags(with_app=app is None)
    try:
        parse_command_line()
        port, count, given = settings.port(options.port), settings.processes(), settings.read()
        check_address(given, access or Tokens(given), options.address)
        # Before the app is imported: what its modules start belongs to one process.
        context = fork(count, listen(port, options.address), bool(given.tokens_file)) if count > 1 else None
        switchboard = install(app or _find_app(options.app), given)
        in_memory = broker_urls(switchboard.app)[0].startswith("memory:")
        if context and context.first:
            _warn(context, count, in_memory, given)
        if context is None or context.first:
            _explain_redis(switchboard, given)
        if in_memory:
            start_worker(switchboard.app)
        routes = [*api.routes(switchboard, access), *handlers]
        application = Application(routes, default_handler_class=NotFound, websocket_ping_interval=PING_INTERVAL)
        serve(application, switchboard, port, options.address, example, context)
    except (BadSetting, tornado.options.Error) as error:
        sys.exit(f"ringback: {error}")


def _warn(context: ProcessContext, count: int, in_memory: bool, settings: Settings) -> None:
    """In the first of several processes: say what they cannot share, and have only one where they share nothing."""
    if in_memory:
        context.stay_sole()
        logger.warning("WEB_CONCURRENCY=%d: memory:// is inside one process, so one runs; set BROKER_URL", count)
    elif not settings.redis_url:
        logger.warning("WEB_CONCURRENCY=%d: each process knows its own runs only; set REDIS_URL to share them", count)


def _explain_redis(switchboard: Switchboard, settings: Settings) -> None:
    """Say what REDIS_URL is used for where it does not move results, too."""
    if settings.redis_url and not switchboard.results_are_shared:
        logger.info(
            "REDIS_URL: web processes share their runs there. Results come back over rpc://; RESULT_BACKEND=$REDIS_URL"
            " moves them through Redis, too, so that a process can take over the runs of one that has ended"
        )


def _define_flags(with_app: bool) -> None:
    port_help = "TCP port to listen on, 0 for a free one; PORT in the environment sets it, too"
    define("port", os.environ.get("PORT", "8888"), type=str, help=port_help, group="Ringback")
    define("address", "127.0.0.1", help="IP address or host name to listen on; 0.0.0.0 for all", group="Ringback")
    if with_app:
        app_help = "the Celery app, as celery -A has it: proj.celery:app; without it tasks are known by name only"
        define("app", "", help=app_help, group="Ringback")


def _find_app(name: str) -> Celery:
    """Import the Celery app that ``--app`` names, and its tasks; without a name make one from the environment."""
    if not name:
        return _nameless_app()
    if not re.fullmatch(r"[\w.:]+", name):
        raise BadSetting(f"--app={settings.without_password(name)}: expected the name of a Celery app: proj.celery:app")
    try:
        app = find_app(name)
        app.loader.import_default_modules()
    except (ImportError, AttributeError) as error:
        raise BadSetting(f"--app={name}: {error}") from error
    return app


def _nameless_app() -> Celery:
    broker = _first("CELERY_BROKER_URL", "BROKER_URL", "CLOUDAMQP_URL")
    if not broker or not os.environ.get("RINGBACK_TASKS"):
        raise BadSetting(
            "which tasks? --app=proj.celery:app names a Celery app; without its code set BROKER_URL and, with the"
            " names of the tasks, RINGBACK_TASKS"
        )
    kind = _first("TASK_QUEUE_TYPE") or "classic"
    app = Celery("ringback", broker=broker)
    backend = _first("CELERY_RESULT_BACKEND", "RESULT_BACKEND") or (broker if is_redis(app) else "rpc://")
    app.conf.update(result_backend=backend, task_default_queue=_first("TASK_QUEUE") or "celery")
    app.conf.update(task_default_queue_type=kind, task_create_missing_queue_type=kind)
    if master := _first("REDIS_MASTER"):
        options = {"master_name": master}
        app.conf.update(broker_transport_options=options, result_backend_transport_options=options)
    return app


def _first(*names: str) -> str:
    """The first of these variables of the environment that is set, or nothing."""
    return next((value for value in map(os.environ.get, names) if value), "")
