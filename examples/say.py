"""Send messages to the chat, and print its answers: ``python -m examples.say http://127.0.0.1:8888/chat hello``."""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.websocket import websocket_connect


async def say(url: str, *texts: str) -> None:
    """Send each of these texts, and print one answer to each.

    :raises OSError: there is no chat at this address.
    """
    socket = await websocket_connect(url.replace("http", "ws", 1))
    for text in texts:
        await socket.write_message(json.dumps({"text": text}))
        print(await socket.read_message())
    socket.close()


if __name__ == "__main__":
    asyncio.run(say(*sys.argv[1:]))
