"""The room of the chat in one process: its clients, and the order of their messages. On the loop's greenlet."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Protocol


class Member(Protocol):
    """A client in a room."""

    def tell(self, text: str | None) -> None:
        """Queue a text for the client."""


class Room:
    """All clients of one process, and the order of their messages."""

    def __init__(self) -> None:
        self.members: set[Member] = set()
        self.turn = asyncio.Lock()  # acquired in the order of the requests
        self._numbers = count(1)

    def enter(self, member: Member) -> str:
        """Have a client hear what is said from now on; returns its name."""
        self.members.add(member)
        return f"guest {next(self._numbers)}"

    async def tell(self, document: dict[str, object]) -> None:
        """Send a document to all clients.

        :raises StoreUnavailable: it cannot be sent.
        """
        self._send(json.dumps(document))

    async def heard(self) -> None:
        """Wait until all that was told has been sent to the clients of this process."""

    def _send(self, text: str) -> None:
        for member in list(self.members):
            member.tell(text)
