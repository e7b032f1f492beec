"""A real Chromium, which opens a page that the test serves, and the page's report."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from servers import Child, find, need
from stack import environment

#: Seconds until the page has to have reported.
PATIENCE = 60


class Site(ThreadingHTTPServer):
    """Serves one page on a free port, and takes what the page posts to ``/report``. A context."""

    daemon_threads = True
    script = ""  #: the page's JavaScript

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.reports: queue.Queue[Any] = queue.Queue()
        Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        super().__exit__(*error)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def report(self) -> Any:
        """Wait for what the page posts."""
        try:
            return self.reports.get(timeout=PATIENCE)
        except queue.Empty:
            pytest.fail("the page has not reported")


class Page(BaseHTTPRequestHandler):
    """A request of the browser."""

    server: Site

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        page = f"<!doctype html><meta charset=utf-8><title>a page</title><script>{self.server.script}</script>"
        self.wfile.write(page.encode())

    def do_POST(self) -> None:
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def report_of(script: str, host: str = "127.0.0.1") -> Any:
    """Open a page with this script, and return what it posts to its own ``/report``.

    :param host: the name under which the browser opens the page; names of ``.example`` lead to 127.0.0.1.
    """
    with Site() as site:
        site.script = script
        with chromium(f"http://{host}:{site.port}/"):
            return site.report()


@contextmanager
def chromium(url: str) -> Iterator[Child]:
    """A browser with an empty profile that opens a page."""
    program = need(lambda: find("chromium", "chromium", "chromium"))
    home = Path(tempfile.mkdtemp(prefix="ringback-browser-"))
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
    flags += [f"--user-data-dir={home}", "--host-resolver-rules=MAP *.example 127.0.0.1"]
    browser = Child([program, *flags, url], environment(HOME=str(home)), home / "log")
    try:
        yield browser
    finally:
        browser.end(signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)
