"""Flags and environment variables, and the messages of a start that fails."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ringback.errors import BadSetting
from ringback.settings import Settings, port, read
from stack import ROOT, environment, procfile


def start(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *flags],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_help_lists_the_flags() -> None:
    done = start("--help")

    assert "--port" in done.stderr
    assert "TCP port to listen on" in done.stderr
    assert "--address" in done.stderr


@pytest.mark.parametrize(
    ("flags", "variables", "named"),
    [
        (["--port=many"], {}, "--port"),
        (["--port=70000"], {}, "70000"),
        ([], {"PORT": "many"}, "PORT"),
        ([], {"RINGBACK_DEADLINE": "soon"}, "RINGBACK_DEADLINE"),
        ([], {"RINGBACK_GRACE": "-1"}, "RINGBACK_GRACE"),
        ([], {"RINGBACK_OUTBOX_LIMIT": "1.5"}, "RINGBACK_OUTBOX_LIMIT"),
        ([], {"RESULT_BACKEND": "cache+memory://"}, "cache+memory://"),
        ([], {"BROKER_URL": "amqp://one:5672//;ampq://two:5672//"}, "BROKER_URL: 'ampq://two"),
        ([], {"BROKER_URL": "amqp://one:port//"}, "BROKER_URL"),
        ([], {"BROKER_URL": "amqp://one:5672//;"}, "BROKER_URL"),
        ([], {"BROKER_URL": "amqp://one:5672//", "TASK_QUEUE_TYPE": "mirrored"}, "TASK_QUEUE_TYPE"),
        ([], {"BROKER_URL": "redis://one", "RESULT_BACKEND": "rpc://"}, "rpc://"),
        ([], {"BROKER_URL": "sentinel://one;sentinel://two"}, "REDIS_MASTER"),
        ([], {"WEB_CONCURRENCY": "two"}, "WEB_CONCURRENCY='two'"),
        ([], {"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY='0'"),
        ([], {"WEB_CONCURRENCY": "-1"}, "WEB_CONCURRENCY='-1'"),
        (["--colour=red"], {}, "colour"),
    ],
)
def test_a_bad_value_is_named_in_one_line(flags: list[str], variables: dict[str, str], named: str) -> None:
    done = start(*flags, **variables)

    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_reported_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = start(f"--port={taken.getsockname()[1]}")

    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert "--port=" in done.stderr


def test_a_worker_without_a_broker_says_that_it_needs_one() -> None:
    line = procfile()["worker"]
    done = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=20, check=False
    )

    assert done.returncode == 1
    assert "BROKER_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_imports_nothing_of_the_web_process() -> None:
    script = (
        "import sys, tasks; tasks.app.loader.import_default_modules();"
        " wings = {name.split('.')[1] for name in sys.modules if name.startswith('ringback.')};"
        " allowed = {'worker', 'wire', 'errors', 'settings', 'upgrade_guard'};"
        " print({'tornado', 'gevent'} & {*sys.modules} | wings - allowed)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "too old"),
        ('case "$2" in *version_info*) exit 0;; *) exit 1;; esac', "python3-venv"),
    ],
)
def test_an_unsuitable_python_is_reported_with_the_command_to_type(tmp_path: Path, script: str, said: str) -> None:
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\n{script}\n')
    python.chmod(0o755)

    done = subprocess.run(
        [ROOT / "scripts" / "venv", python, "requirements.txt", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert said in done.stderr


def test_without_the_patch_the_package_says_that_it_is_missing() -> None:
    script = "import tasks, ringback; ringback.install(tasks.app)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )

    assert "monkey.patch_all()" in done.stderr


def test_settings_come_from_the_environment() -> None:
    settings = read({"RINGBACK_DEADLINE": "2.5", "RINGBACK_OUTBOX_LIMIT": "7"})

    assert settings == Settings(deadline=2.5, outbox_limit=7)
    assert read({}) == Settings()


def test_a_wechat_account_needs_a_task() -> None:
    with pytest.raises(BadSetting, match="RINGBACK_WECHAT_TASK"):
        read({"RINGBACK_WECHAT_TOKEN": "secret"})


@pytest.mark.parametrize("text", ["", "-1", "1e3", "65536", "eight"])
def test_a_port_is_a_number_in_range(text: str) -> None:
    with pytest.raises(BadSetting, match="port"):
        port(text)
