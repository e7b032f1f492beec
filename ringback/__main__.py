"""``python -m ringback --app=proj.celery:app``: the HTTP interface in front of a Celery app, without a line of code."""

from __future__ import annotations

import os
import sys

from gevent import monkey

if not monkey.is_module_patched("socket"):
    # The package is imported by now, and with it much that must be patched before: begin again with the patch.
    os.execv(sys.executable, [sys.executable, "-m", "gevent.monkey", "--module", "ringback", *sys.argv[1:]])

from ringback.cli import main

main()
