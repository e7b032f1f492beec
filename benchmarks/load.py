"""wrk: closed-loop load whose every answer is checked, by ``load.lua``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
TIMEOUT = 30  # seconds for an answer


class LoadError(Exception):
    """wrk is not installed, or it failed; the message says why."""


@dataclass(frozen=True)
class Load:
    """The results of a run of wrk. Percentiles are in milliseconds."""

    sent: int
    right: int
    wrong: int
    errors: int
    timeouts: int
    seconds: float
    p50: float
    p95: float
    p99: float
    first_wrong: str = ""

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.right / self.seconds

    @property
    def failures(self) -> int:
        """Requests without a right answer."""
        return self.wrong + self.errors + self.timeouts


def wrk(url: str, work: str, connections: int, seconds: int, threads: int = 2) -> Load:
    """Load a server.

    :param url: without a path.
    :param work: one of the kinds of work of ``load.lua``.
    :raises LoadError: wrk is missing or failed.
    """
    command = [program(), f"-t{min(threads, connections)}", f"-c{connections}", f"-d{seconds}s"]
    command += [f"--timeout={TIMEOUT}s", "-s", str(SCRIPT), url]
    done = subprocess.run(command, env={**os.environ, "WORK": work}, capture_output=True, text=True)
    result = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or not result:
        raise LoadError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    wrong = re.search(r"^WRONG (.*)$", done.stdout, re.MULTILINE)
    return Load(**json.loads(result[1]), first_wrong=wrong[1] if wrong else "")


def program() -> str:
    """The path of wrk.

    :raises LoadError: wrk is not installed; the message says how to install it.
    """
    if path := shutil.which("wrk"):
        return path
    raise LoadError("wrk: apt-get install wrk, brew install wrk")


def version() -> str:
    """The version of wrk."""
    done = subprocess.run([program(), "-v"], capture_output=True, text=True)
    return (done.stdout + done.stderr).split()[1]
