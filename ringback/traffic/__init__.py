"""How much work may be on its way, and which part of it each tenant may have. Pure; imports no other wing.

A queue has a ``Lane``, which consists of a ``Pace``, at which its calls are answered, a ``Window``, as many messages as
may be out at once, a ``FairQueue`` of those that are kept back, and the ``Excess`` of tasks that take long. ``Shares``
are of what a process may hold at all.
"""

from ringback.traffic.fair_queue import FairQueue
from ringback.traffic.lane import MARGIN, Lane, Place
from ringback.traffic.pace import Pace
from ringback.traffic.shares import NOBODY, Shares, Tenant, named
from ringback.traffic.window import Window

__all__ = ["MARGIN", "NOBODY", "FairQueue", "Lane", "Pace", "Place", "Shares", "Tenant", "Window", "named"]
