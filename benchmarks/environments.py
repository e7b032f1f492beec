"""Virtual environments for contenders whose requirements are not the project's: ``benchmarks/.venv/NAME``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

from benchmarks.contenders import DESIGNS, ENVIRONMENTS, Contender


def ready(contenders: Iterable[Contender]) -> dict[str, str]:
    """Make the missing environments; return the reason for each contender whose environment cannot be made."""
    missing = {}
    for contender in contenders:
        if contender.environment and (failure := _make(contender.environment)):
            missing[contender.name] = failure
            print(f"{contender.label} is left out: {failure}", file=sys.stderr)
    return missing


def _make(name: str) -> str:
    requirements, folder = DESIGNS / f"{name}.txt", ENVIRONMENTS / name
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return ""
    print(f"Installing {requirements.name} into {folder.name} ...", flush=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", folder], [*pip, "--requirement", requirements]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    stamp.write_text(requirements.read_text())
    return ""
