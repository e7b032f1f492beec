"""A call, its deadline, and the one place where it is settled. The core has one door, the ``Switchboard``.

Its verbs are ``submit``, ``cancel``, ``withdraw`` and ``depths``. No other wing names the outbox, the loop queue or
Celery's ``app.amqp``. Imports ``publish``, ``replies`` and ``broker``; knows nothing of runs or HTTP.
"""

from ringback import upgrade_guard

# First: the imports below would fail without saying which versions are tested.
upgrade_guard.check(upgrade_guard.CELERY)

from ringback.calls.admission import Load
from ringback.calls.call import Call, Holder, Watch, call, current_holder
from ringback.calls.installation import install
from ringback.calls.switchboard import Switchboard
from ringback.calls.timeouts import SharedTimeout

__all__ = ["Call", "Holder", "Load", "SharedTimeout", "Switchboard", "Watch", "call", "current_holder", "install"]
