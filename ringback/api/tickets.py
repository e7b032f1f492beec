"""``POST /v1/tickets``: a ticket for the one request in which a browser cannot send a token."""

from __future__ import annotations

import json
from typing import ClassVar

from ringback.api.handler import ApiHandler
from ringback.web import LIFETIME, tickets_in


class NewTicket(ApiHandler):
    """Answers ``POST /v1/tickets``."""

    scopes: ClassVar[dict[str, str]] = {"POST": "read"}

    def post(self) -> None:
        """Make a ticket for the caller; ``?ticket=`` takes it on event streams and the WebSocket, once."""
        self.gateway.rate.spend(self.caller.name)
        ticket = tickets_in(self.settings).issue(self.caller)
        self.answer(json.dumps({"ticket": ticket, "expires_in": int(LIFETIME)}), 201)
