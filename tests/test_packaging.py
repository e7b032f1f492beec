"""What is installed: the files that the package brings, and that they are enough in an empty environment."""

from __future__ import annotations

import hashlib

from stack import ROOT

SWAGGER_UI = ROOT / "ringback" / "api" / "swagger_ui"


def test_the_files_of_swagger_ui_are_those_of_its_release() -> None:
    named = dict(reversed(line.split()) for line in (SWAGGER_UI / "SHA256SUMS").read_text().splitlines())

    there = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in SWAGGER_UI.iterdir()}

    assert {name: sha for name, sha in there.items() if name not in ("VERSION", "SHA256SUMS")} == named
