"""What can be set, by environment variables: each setting once, with its default and its reason.

``docs/settings.md`` is written from ``table`` and ``others`` by ``make docs``.
"""

from ringback.settings.others import OTHER_VARIABLES
from ringback.settings.start import port, processes, read
from ringback.settings.table import Settings
from ringback.settings.tokens import SCOPES, SHORTEST_TOKEN, Grant
from ringback.settings.urls import check_url, without_password

__all__ = [
    "OTHER_VARIABLES",
    "SCOPES",
    "SHORTEST_TOKEN",
    "Grant",
    "Settings",
    "check_url",
    "port",
    "processes",
    "read",
    "without_password",
]
