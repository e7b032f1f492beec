"""The docs name existing routes, files, settings, tests and wings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ringback.api.route_table import ROUTES, WECHAT
from stack import ROOT, environment

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_list_of_routes_is_the_route_table() -> None:
    rows = re.findall(r"^\| `(\w+) (\S+)` \| (.*) \|$", (ROOT / "docs" / "http.md").read_text(), re.MULTILINE)

    assert rows == [(method, route.path, does) for route in (*ROUTES, WECHAT) for method, does in route.methods.items()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_page_of_settings_matches_their_table() -> None:
    command = [sys.executable, "scripts/settings_page.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_every_invariant_names_existing_tests() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    invariants = re.findall(r"^\| (I\d+) \| .* \| (.*) \|$", text, re.MULTILINE)

    assert len(invariants) >= 13
    assert [name for name, _ in invariants] == [f"I{number}" for number in range(1, len(invariants) + 1)]
    for _, tests in invariants:
        named = re.findall(r"`(test_\w+)`", tests)
        assert named
        for name in named:
            assert (ROOT / "tests" / f"{name}.py").exists(), name


def test_every_promise_of_security_names_existing_tests() -> None:
    promises = (ROOT / "docs" / "security.md").read_text().partition("## The promises")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|.*\|.*\|.*\| (`.*) \|$", promises, re.MULTILINE)

    assert len(rows) > 10
    for name in re.findall(r"`(test_\w+)`", " ".join(rows)):
        assert (ROOT / "tests" / f"{name}.py").exists(), name


def test_the_architecture_names_the_existing_wings() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("## Wings")[2].partition("**Never**")[0]

    wings = {path.parent.name for path in (ROOT / "ringback").glob("*/__init__.py")}
    assert wings == set(re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE))
