"""Count how many of 1000 requests succeed: ten client processes, a time-out of three seconds, tasks of one second.

``make success`` starts a process with its embedded worker; ``make success URL=http://…`` uses a running one. It tests
two ways: the request is held, or it is answered at once and its result fetched.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

REQUESTS = 1000
PROCESSES = 10
AT_ONCE = 10  # requests of one process
TIMEOUT = 3.0  # seconds


def main(url: str = "") -> bool:
    """Print the success rates of both ways; return whether both are perfect."""
    with server() if not url else given(url) as url:
        return all([measure(url, "held", held), measure(url, "answered at once", answered_at_once)])


def measure(url: str, name: str, ask: Callable[[str, int], bool]) -> bool:
    """Print the success rate of one way; return whether it is perfect."""
    started = time.monotonic()
    shares = [range(first, REQUESTS, PROCESSES) for first in range(PROCESSES)]
    with get_context("spawn").Pool(PROCESSES) as pool:
        successes = sum(pool.map(partial(crowd, url, ask), shares))
    took = time.monotonic() - started
    print(f"{name}: {REQUESTS} requests from {PROCESSES} processes, time-out {TIMEOUT:g} s, took {took:.1f} s")
    print(f"{100 * successes / REQUESTS:.1f}% request success!", flush=True)
    return successes == REQUESTS


def crowd(url: str, ask: Callable[[str, int], bool], numbers: range) -> int:
    """Return how many of these requests succeed. Runs in a process of its own."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(partial(succeeds, url, ask), numbers))


def succeeds(url: str, ask: Callable[[str, int], bool], number: int) -> bool:
    """Whether this request brings its own result in time."""
    try:
        return ask(url, number)
    except HTTPError as refusal:
        print(f"request {number}: {refusal}: {refusal.read(1000).decode(errors='replace')}", file=sys.stderr)
        return False
    except (OSError, ValueError) as error:
        print(f"request {number}: {error!r}", file=sys.stderr)
        return False


def held(url: str, number: int) -> bool:
    """Send one request that is held until its task has ended."""
    return bool(fetch(call(url, number))["result"] == {"job_id": number})


def answered_at_once(url: str, number: int) -> bool:
    """Send one request that is answered at once, and another one for its result."""
    run = fetch(call(url, number, Prefer="respond-async"))["links"]["self"]
    return bool(fetch(Request(f"{url}{run}?wait={TIMEOUT:g}"))["result"] == {"job_id": number})


def call(url: str, number: int, **headers: str) -> Request:
    """A call of the task ``job``."""
    body = json.dumps({"kwargs": {"job_id": number}}).encode()
    return Request(f"{url}/v1/tasks/job", body, {"Content-Type": "application/json", **headers})


def fetch(request: Request) -> dict[str, object]:
    """Send a request; return the JSON of the answer."""
    with urlopen(request, timeout=TIMEOUT) as answer:
        document: dict[str, object] = json.load(answer)
        return document


@contextmanager
def given(url: str) -> Iterator[str]:
    """A running server."""
    yield url.rstrip("/")


@contextmanager
def server() -> Iterator[str]:
    """A server with its embedded worker, during the block."""
    command = [sys.executable, Path(__file__).parent.parent / "app.py", "--port=0", "--logging=warning"]
    brokers = ("CELERY_BROKER_URL", "BROKER_URL", "CLOUDAMQP_URL")
    embedded = dict.fromkeys((*brokers, "CELERY_RESULT_BACKEND", "RESULT_BACKEND", "REDIS_URL", "RINGBACK_TOKENS"), "")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **embedded}) as process:
        assert process.stdout is not None
        try:
            yield re.findall(r"http\S+", process.stdout.readline())[0]
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
