"""Every library that the project's files install has one version and the hashes of its files, and is asked about."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stack import ROOT

PINNED = sorted(path.name for path in ROOT.glob("requirements*.txt"))
SOURCES = {"template": "requirements.txt", "dev": "requirements-dev.txt", "bench": "requirements-bench.txt"}


def pins(text: str) -> dict[str, set[str]]:
    """The versions of each library, by its name as in an index."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)(?:\[\S+\])?==([^\s;\\]+)", text, re.MULTILINE):
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return found


@pytest.mark.parametrize("name", PINNED)
def test_every_library_has_a_version_and_hashes(name: str) -> None:
    entries = re.split(r"\n(?=[A-Za-z])", (ROOT / name).read_text())

    for entry in entries[1:]:
        assert re.fullmatch(r"[\w.\[\]-]+==[^\s\\]+( ; [^\\\n]+)? \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n?)+", entry)


@pytest.mark.parametrize(("source", "name"), SOURCES.items(), ids=SOURCES)
def test_what_is_asked_for_is_what_is_pinned(source: str, name: str) -> None:
    pinned = pins((ROOT / name).read_text())
    template = pins((ROOT / "requirements/template.in").read_text())

    for library, versions in {**template, **pins((ROOT / f"requirements/{source}.in").read_text())}.items():
        assert versions == pinned[library]


def test_no_library_has_two_versions_in_two_files() -> None:
    template = pins((ROOT / "requirements.txt").read_text())

    for name in PINNED:
        others = pins((ROOT / name).read_text())
        assert {library: others[library] for library in template} == template


def audit(folder: Path, printed: str, errors: str = "") -> tuple[int, str]:
    """Run the audit with something in the place of pip-audit that prints this; return the exit code and its output."""
    (folder / "pip_audit.py").write_text(f"import sys\nprint({printed!r})\nsys.exit({errors!r} or 0)\n")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/audit.py"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_known_vulnerability_fails_the_check(tmp_path: Path) -> None:
    problem = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}
    libraries = [{"name": "a", "version": "1.0", "vulns": [problem]}, {"name": "b", "version": "2.0", "vulns": []}]

    assert audit(tmp_path, json.dumps({"dependencies": libraries})) == (
        1,
        "audit: 2 of 2 libraries are audited\n  a 1.0: PYSEC-1, mended in 1.1\n",
    )


def test_an_audit_that_could_not_be_made_says_so(tmp_path: Path) -> None:
    unknown = [{"name": "a", "skip_reason": "not found"}]

    code, said = audit(tmp_path, json.dumps({"dependencies": unknown}))
    assert (code, "NONE of 1 libraries are audited" in said) == (0, True)
    code, said = audit(tmp_path, "", errors="no connection")
    assert (code, "NOT audited" in said, "no connection" in said) == (0, True, True)


def test_what_npm_installs_has_one_version() -> None:
    for path in (ROOT / "benchmarks/designs").glob("*.json"):
        for version in json.loads(path.read_text())["dependencies"].values():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_no_file_with_hashes_is_part_of_one_without() -> None:
    parts = re.compile(r"^(?:-r|--requirement)\s+(\S+)", re.MULTILINE)
    for path in (*(ROOT / "benchmarks/designs").glob("*.txt"), *(ROOT / "requirements").glob("*.in")):
        for part in parts.findall(path.read_text()):
            assert "--hash" not in (path.parent / part).read_text(), f"pip would want hashes of all in {path}"
