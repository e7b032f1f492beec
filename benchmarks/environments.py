"""Environments for contenders whose requirements are not the project's: ``benchmarks/.venv/NAME``.

``designs/NAME.txt`` has the requirements of a virtual environment, ``designs/NAME.json`` is a ``package.json`` for npm.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.contenders import DESIGNS, ENVIRONMENTS, Contender

Command = list[str | Path]


def ready(contenders: Iterable[Contender]) -> dict[str, str]:
    """Make the missing environments; return the reason for each contender whose environment cannot be made."""
    missing = {}
    for contender in contenders:
        if contender.environment and (failure := _make(contender.environment)):
            missing[contender.name] = failure
            print(f"{contender.label} is left out: {failure}", file=sys.stderr)
    return missing


def _make(name: str) -> str:
    package = DESIGNS / f"{name}.json"
    requirements = package if package.exists() else DESIGNS / f"{name}.txt"
    folder = ENVIRONMENTS / name
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return ""
    print(f"Installing {requirements.name} into {folder.name} ...", flush=True)
    failure = _npm(package, folder) if package.exists() else _pip(requirements, folder)
    if not failure:
        stamp.write_text(requirements.read_text())
    return failure


def _pip(requirements: Path, folder: Path) -> str:
    pip: Command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return _run([sys.executable, "-m", "venv", folder]) or _run([*pip, "--requirement", requirements])


def _npm(package: Path, folder: Path) -> str:
    for program in ("node", "npm"):
        if not shutil.which(program):
            return f"{program} is not installed: apt-get install nodejs npm, brew install node"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(package, folder / "package.json")
    return _run(["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error"])


def _run(command: Command) -> str:
    """Run a command; return the last line of what it complains of if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""
