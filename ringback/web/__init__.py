"""The web process: fork, listen, limit what comes in, hold requests, drain. It is the only wing that runs the loop.

``handlers`` is for applications; ``server`` starts and ends the process; ``http_server`` limits what comes in. Imports
``calls`` and ``wire``; never ``api``.
"""

from ringback.web.access import ANYBODY, Access, Caller, RateLimit, Tokens, access_of, check_address, matches
from ringback.web.answer_headers import NO_PAGE, PROBLEM, TRACE, for_origin, trace
from ringback.web.embedded_worker import start_worker
from ringback.web.error_answers import REFUSALS, count_refusal
from ringback.web.handlers import NotFound, RequestHandler, asynchronous
from ringback.web.held_request import HeldRequest
from ringback.web.server import serve
from ringback.web.sockets import listen
from ringback.web.supervisor import ProcessContext, fork
from ringback.web.tickets import LIFETIME, tickets_in

__all__ = [
    "ANYBODY",
    "LIFETIME",
    "NO_PAGE",
    "PROBLEM",
    "REFUSALS",
    "TRACE",
    "Access",
    "Caller",
    "HeldRequest",
    "NotFound",
    "ProcessContext",
    "RateLimit",
    "RequestHandler",
    "Tokens",
    "access_of",
    "asynchronous",
    "check_address",
    "count_refusal",
    "for_origin",
    "fork",
    "listen",
    "matches",
    "serve",
    "start_worker",
    "tickets_in",
    "trace",
]
