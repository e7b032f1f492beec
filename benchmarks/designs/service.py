"""The common part of the designs on Tornado and plain Celery: their task calls and their server."""

from __future__ import annotations

import asyncio
import json
import os
from socket import socket

from celery.result import AsyncResult
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.web import Application, RequestHandler

import tasks
from benchmarks.job import job

if os.environ.get("UNCONFIRMED"):  # Celery's default, with which a message can be lost unnoticed
    tasks.app.conf.broker_transport_options = {}


def publish(path: str, body: bytes) -> AsyncResult:
    """Call the task of a request: ``test`` with the body for ``/``, otherwise the job that the body describes."""
    return tasks.test.delay(body.decode()) if path == "/" else job.delay(**json.loads(body))


def serve(handler: type[RequestHandler], processes: int = 1) -> None:
    """Listen until killed.

    :param processes: processes that share the port; they must be forked before Celery connects.
    """
    sockets = bind_sockets(int(os.environ["PORT"]), "127.0.0.1", backlog=1024)
    if processes > 1:
        fork_processes(processes)
    asyncio.run(_serve(handler, sockets))


async def _serve(handler: type[RequestHandler], sockets: list[socket]) -> None:
    HTTPServer(Application([(r"/.*", handler)])).add_sockets(sockets)
    await asyncio.Event().wait()
