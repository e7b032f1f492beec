"""The commands in README and docs print the shown output, in a clean copy of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from client import get
from servers import RabbitMQ, Redis, free_port, need
from stack import ROOT, Process, Web, environment

#: Commands that go on running; the output shown after them proves that they have started.
SERVERS = (
    "make run",
    "honcho start",
    "python -m ringback",
    "python app.py",
    "python users.py",
    "python web.py",
    "celery",
)


def console(readme: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of the console blocks, each with the lines that it prints."""
    for block in re.findall(r"```console\n(.*?)```", readme, re.DOTALL):
        for entry in block.split("$ ")[1:]:
            command, *output = entry.splitlines()
            yield command, output


def files(page: str) -> Iterator[tuple[str, str]]:
    """The code blocks that name a file: its path and its text."""
    yield from re.findall(r"```\w+ (\S+)\n(.*?)```", page, re.DOTALL)


def as_pattern(line: str) -> str:
    """The pattern of a shown line, in which … stands for any text."""
    return ".*".join(re.escape(part) for part in line.split("…"))


@pytest.fixture
def clean_copy(tmp_path: Path) -> Path:
    """The project's files as in a clone: those that git tracks or would add."""
    listing = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listing.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    """A broker without other workers."""
    with need(RabbitMQ) as server:
        yield server


def test_the_first_handlers_of_the_readme_answer(tmp_path: Path) -> None:
    [handlers, *_] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    serve = """
from tornado.web import Application
switchboard = ringback.install(tasks.app)
ringback.embedded.start_worker(tasks.app)
application = Application([("/callback", AsyncSleep), ("/coroutine", GenAsyncSleep)])
ringback.serve(application, switchboard, port=0, address="127.0.0.1")
"""
    (tmp_path / "first_screen.py").write_text(handlers + serve)

    with Web(command=[sys.executable, str(tmp_path / "first_screen.py")]) as web:
        assert get(web.url, "/callback").body == "3"
        assert get(web.url, "/coroutine").body == "3"


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/handlers.md",
        "docs/http.md",
        "docs/databases.md",
        "docs/chat.md",
        "docs/queues.md",
        "docs/by-name.md",
        "docs/wechat.md",
        "docs/heroku.md",
        "docs/redis.md",
    ],
)
def test_every_command_prints_what_the_page_shows(page: str, clean_copy: Path, broker: RabbitMQ, redis: Redis) -> None:
    ports = {port: str(free_port()) for port in ("8888", "8889", "8000", "5000")}
    ports |= {"5672": str(broker.port), "6379": str(redis.port)}
    readme = re.sub("|".join(ports), lambda port: ports[port[0]], (ROOT / page).read_text())
    preamble = "set -e\n"
    ran = []
    for path, text in files(readme):
        (clean_copy / path).parent.mkdir(exist_ok=True)
        (clean_copy / path).write_text(text)

    with ExitStack() as servers:
        for command, output in console(readme):
            script = f"{preamble}{command}"
            if command.startswith(("export ", ". ")):
                preamble += f"{command}\n"
            elif command.startswith(SERVERS):
                variables = {"PORT": ports["8888" if command == "make run" else "5000"]}
                ready = ".*".join(as_pattern(line) for line in output) or "Ringback listens"
                server = Process(
                    ["sh", "-c", f"{preamble}exec {command}"], f"(?s){ready}", cwd=clean_copy, patience=300, **variables
                )
                servers.enter_context(server)
                servers.callback(server.terminate)  # honcho ends its children only if it is asked to end
            else:
                done = subprocess.run(
                    ["sh", "-c", script], cwd=clean_copy, env=environment(), capture_output=True, text=True, check=True
                )
                assert re.fullmatch(as_pattern("\n".join(output)), done.stdout.strip()), (command, done.stdout)
            ran.append(command)

    assert len(ran) >= 3
