"""A client of the chat."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from tornado.websocket import WebSocketClientConnection

from client import websocket
from stack import Web


def connect(web: Web, **headers: str) -> AbstractAsyncContextManager[WebSocketClientConnection]:
    """Connect a client to the chat."""
    return websocket(web.url, "/chat", **headers)


async def say(socket: WebSocketClientConnection, text: str) -> None:
    """Send a message."""
    await socket.write_message(json.dumps({"text": text}))


async def receive(socket: WebSocketClientConnection) -> dict[str, Any]:
    """Wait for the next message."""
    text = await asyncio.wait_for(socket.read_message(), 20)
    assert text is not None, f"the socket was closed: {socket.close_code} {socket.close_reason}"
    return json.loads(text)
