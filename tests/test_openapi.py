"""``/openapi.json`` is valid, describes the running server truly, and is shown by ``/docs``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from client import get
from stack import SUPPORT, Web, environment

#: Tasks that fail for no arguments.
TASKS = "echo misbehaving_tasks.give misbehaving_tasks.typed"

COMMAND = [sys.executable, "-m", "ringback", "--app=misbehaving_tasks", "--port=0"]
VARIABLES = {"RINGBACK_TASKS": TASKS, "RINGBACK_DEADLINE": "0.3", "RINGBACK_MAX_DELAY": "1e12"}

schemathesis = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="schemathesis for 3.10 takes valid requests for invalid ones"
)


@pytest.fixture(scope="module")
def served() -> Iterator[Web]:
    """A process with a short deadline, so that no request is held for long, and any ``eta``, for which JSON Schema has
    no limit."""
    with Web(command=COMMAND, **VARIABLES) as web:
        yield web


def test_the_description_is_valid_and_has_a_path_for_each_task(served: Web) -> None:
    description = get(served.url, "/openapi.json").json

    validate(description)
    assert description["openapi"].startswith("3.1")
    assert {f"/v1/tasks/{name}" for name in TASKS.split()} <= set(description["paths"])
    call = description["paths"]["/v1/tasks/echo"]["post"]
    assert call["summary"].startswith("The message")
    by_name, *_ = call["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert by_name["properties"]["kwargs"]["properties"]["msg"]["type"] == "string"


def compare(web: Web, folder: Path, *options: str) -> str:
    """Compare a process with its description by requests that are made of that; return what was found."""
    st = Path(sys.executable).parent / "st"
    command = [st, "run", f"{web.url}/openapi.json", "--workers=1", "--no-color", "--seed=1", *options]
    env = environment(HYPOTHESIS_STORAGE_DIRECTORY=str(folder))
    done = subprocess.run(
        command, cwd=SUPPORT / "schemathesis", env=env, capture_output=True, text=True, timeout=180, check=False
    )
    assert "Traceback" not in web.output
    return "" if done.returncode == 0 else done.stdout[-6000:]


@schemathesis
def test_the_server_does_what_its_description_says(served: Web, tmp_path: Path) -> None:
    assert compare(served, tmp_path, "--max-examples=25") == ""


@schemathesis
def test_a_server_with_tokens_does_what_its_description_says(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    with Web(command=COMMAND, RINGBACK_TOKENS=f"me={token}:*", **VARIABLES) as web:
        found = compare(web, tmp_path, "--max-examples=5", f"--header=Authorization: Bearer {token}")
        assert found == ""


def test_the_page_loads_nothing_from_elsewhere(served: Web) -> None:
    page = get(served.url, "/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.body)

    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert len(loaded) == 3
    for path in loaded:
        assert path.startswith("/docs/")
        assert get(served.url, path).status == 200
    assert "SwaggerUIBundle" in get(served.url, "/docs/swagger-ui-bundle.js").body
