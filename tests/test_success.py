"""``make success`` prints the true success rate."""

from __future__ import annotations

import subprocess
import sys

from servers import free_port
from stack import ROOT, Web, environment


def success(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/success.py", url]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


def test_all_requests_succeed_in_both_forms(web: Web) -> None:
    done = success(web.url)
    assert (done.returncode, done.stdout.count("100.0% request success!")) == (0, 2), done.stderr


def test_without_a_server_no_request_succeeds() -> None:
    done = success(f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout.count("\n0.0% request success!")) == (1, 2)
