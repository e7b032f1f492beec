"""``ringback``, or ``python -m ringback``: the HTTP interface in front of a Celery app, without a line of code.

``ringback`` imports nothing by itself, so here is early enough for gevent's patch.
"""

from __future__ import annotations

import os
import sys

from gevent import monkey


def main() -> None:
    """Patch the standard library, then serve as flags and environment say."""
    monkey.patch_all()
    if os.getcwd() not in sys.path:  # the console script's own folder is there instead
        sys.path.insert(0, os.getcwd())
    from ringback.errors import BadSetting

    try:
        from ringback import cli
    except BadSetting as error:  # a library that is too new
        sys.exit(f"ringback: {error}")
    cli.main()


if __name__ == "__main__":
    main()
