"""A library that lacks a name we use is reported at the start, with the versions that are tested."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ringback import upgrade_guard
from ringback.errors import BadSetting, UnsupportedVersion
from stack import ROOT, environment


@pytest.mark.parametrize("name", sorted(set(upgrade_guard.ALL)))
def test_every_private_name_exists(name: str) -> None:
    upgrade_guard.check([name])


@pytest.mark.parametrize(
    "gone",
    [
        "celery.result:AsyncResult._set_cash",
        "celery.result:AsyncResult._set_cache uses _cash",
        "celery.resultat:AsyncResult._set_cache",
        "amqp.transport:TCPTransport._setup_transport uses _slow_recv",
    ],
)
def test_a_missing_name_is_reported_with_the_tested_versions(gone: str) -> None:
    with pytest.raises(UnsupportedVersion) as error:
        upgrade_guard.check([*upgrade_guard.ALL, gone])

    assert gone in str(error.value)
    assert "tested:" in str(error.value)
    assert isinstance(error.value, BadSetting)  # so the command line prints it


INSTALL = "import tasks, ringback; ringback.install(tasks.app)"


@pytest.mark.parametrize(
    ("vandal", "entry"),
    [
        ("from celery.result import AsyncResult; del AsyncResult._set_cache", INSTALL),
        ("from celery.app.amqp import AMQP; del AMQP._create_task_sender", INSTALL),
        ("from amqp.serialization import GenericContent as G; del G._serialize_properties", INSTALL),
        ("from gevent.selectors import GeventSelector as S; S.select = lambda self: []", INSTALL),
        ("from celery.backends.rpc import RPCBackend; del RPCBackend._to_result", "import tasks"),
        (
            "from celery.worker.consumer import Consumer as C\n"
            "C.Blueprint.default_steps = [step for step in C.Blueprint.default_steps if 'control' not in step]",
            "import ringback.worker.consumer",
        ),
    ],
)
def test_nothing_starts_without_a_name_that_it_needs(vandal: str, entry: str) -> None:
    script = f"from gevent import monkey; monkey.patch_all()\n{vandal}\n{entry}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "UnsupportedVersion" in done.stderr.splitlines()[-1], done.stderr[-2000:]
