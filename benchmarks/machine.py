"""The machine and the versions of a result."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version

from benchmarks import cpu, load
from servers import RabbitMQ

PACKAGES = ("celery", "kombu", "amqp", "tornado", "gevent")


def describe(broker: RabbitMQ) -> dict[str, object]:
    """The date, the machine and the versions."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu.model(), "cores": os.cpu_count(), "ram_mib": cpu.memory() >> 20},
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
            "rabbitmq": broker.ctl("-q", "version").strip(),
            "wrk": load.version(),
        },
    }
