"""The HTTP interface: which caller may do what, and every route. Everything runs on the loop's greenlet.

``route_table`` lists the routes; each other module answers some of it. Imports ``runs``, ``calls``
and ``web``.
"""

from ringback.api.gateway import Gateway
from ringback.api.json_body import read_json
from ringback.api.route_table import ROUTES, routes

__all__ = ["ROUTES", "Gateway", "read_json", "routes"]
