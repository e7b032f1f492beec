"""The examples' database handlers, on MariaDB, PostgreSQL and a SQLite file, and with an embedded worker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from urllib.parse import quote

import pytest

from client import Answer, Client, get, rate_of_unrelated_requests, run, send, statuses
from databases import Database, MariaDB, PostgreSQL
from servers import RabbitMQ, need
from stack import ROOT, Web, Worker, environment

#: The routes that read one row, with their answers.
ONE_ROW = {
    "/mysql_query/guest": {"users": [{"id": 3, "name": "Alan", "flag": "guest"}]},
    "/gen_mysql_query/guest": {"users": [{"id": 3, "name": "Alan", "flag": "guest"}]},
    "/resource/1": {"id": 1, "name": "Ada", "flag": "staff"},
    "/executor/resource/1": {"id": 1, "name": "Ada", "flag": "staff"},
}

INJECTIONS = [
    "' OR '1'='1",
    "guest'; DROP TABLE users; --",
    '" OR ""="',
    "guest\\' OR 1=1 #",
    "%' OR flag LIKE '%",
    "🦊",
]


class Site:
    """A web process and a worker on a database."""

    def __init__(self, url: str, server: Database) -> None:
        self.url, self.server = url, server


@contextmanager
def serving(rabbitmq: RabbitMQ, queue: str, url: str) -> Iterator[str]:
    """The URL of a web process that has a worker."""
    variables = {"BROKER_URL": rabbitmq.url, "TASK_QUEUE": queue, "DATABASE_URL": url}
    with Worker(**variables), Web(**variables) as web:
        yield web.url


@pytest.fixture(scope="module")
def mariadb(rabbitmq: RabbitMQ) -> Iterator[Site]:
    with need(MariaDB) as server, serving(rabbitmq, "mariadb", server.url) as url:
        yield Site(url, server)


@pytest.fixture(scope="module")
def postgresql(rabbitmq: RabbitMQ) -> Iterator[Site]:
    with need(PostgreSQL) as server, serving(rabbitmq, "postgresql", server.url) as url:
        yield Site(url, server)


@pytest.fixture(scope="module")
def sqlite(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(rabbitmq, "sqlite", f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/file") as url:
        yield url


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a process as ``make run`` starts it."""
    with Web(DATABASE_URL=f"sqlite:///{tmp_path_factory.mktemp('alone')}/file") as web:
        yield web.url


@pytest.fixture(params=["mariadb", "postgresql", "sqlite", "alone"])
def url(request: pytest.FixtureRequest) -> str:
    site: Site | str = request.getfixturevalue(request.param)
    return site if isinstance(site, str) else site.url


@pytest.fixture(params=["mariadb", "postgresql"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(("path", "document"), ONE_ROW.items())
def test_a_row_is_found_in_every_style(url: str, path: str, document: object) -> None:
    answer = get(url, path)

    assert (answer.status, answer.json) == (200, document)


@pytest.mark.parametrize("path", ["/resource/999999999", "/executor/resource/999999999"])
def test_no_row_is_404(url: str, path: str) -> None:
    answer = get(url, path)

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["title"] == "There is no user 999999999"


@pytest.mark.parametrize("text", INJECTIONS)
def test_input_is_a_value_and_never_sql(url: str, text: str) -> None:
    for path in ("mysql_query", "gen_mysql_query"):
        assert get(url, f"/{path}/{quote(text, safe='')}").json == {"users": []}

    made = send(url, "/executor/resource", {"name": text, "flag": "new"})

    assert (made.status, made.json["name"]) == (201, text)
    assert get(url, made.headers["Location"]).json == made.json
    assert made.json in get(url, "/mysql_query/new").json["users"]
    assert get(url, "/resource/1").json["name"] == "Ada"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"name": "Linus"}, "flag"),
        ({"name": "", "flag": "new"}, "name"),
        ({"name": "x" * 65, "flag": "new"}, "name"),
        ({"name": "a\0b", "flag": "new"}, "name"),
        ({"name": 1, "flag": "new"}, "name"),
        ({"name": "Linus", "flag": "new", "id": 7}, "id"),
        ([], "body"),
    ],
)
def test_an_invalid_row_is_400_with_the_reason(alone: str, document: object, named: str) -> None:
    answer = send(alone, "/executor/resource", document)

    assert (answer.status, answer.json["type"]) == (400, "/problems/bad-request")
    assert answer.json["detail"].startswith(f"{named}: ")


def test_a_urlencoded_form_is_refused(alone: str) -> None:
    answer = get(alone, "/executor/resource", method="POST", body='{"name": "Linus", "flag": "new"}')

    assert answer.status == 415


def test_while_a_query_takes_two_seconds_other_requests_are_answered(site: Site) -> None:
    async def conversation() -> None:
        client = Client(site.url)
        await client.crowd(ONE_ROW)  # the first use of a database loads its driver
        calm = await rate_of_unrelated_requests(client, asyncio.sleep(2))

        with site.server.locked():
            held = [asyncio.create_task(client.fetch(path)) for path in ONE_ROW]
            troubled = await rate_of_unrelated_requests(client, asyncio.sleep(2))
            assert not any(task.done() for task in held)
        answers = await asyncio.gather(*held)

        assert [answer.json for answer in answers] == list(ONE_ROW.values())
        print(f"unrelated requests a second: {calm:.1f} before, {troubled:.1f} during")
        assert troubled > calm / 5

    run(conversation())


def test_200_requests_share_the_few_connections(url: str) -> None:
    answers = run(Client(url).crowd([*ONE_ROW] * 50))

    assert [answer.json for answer in answers] == [*ONE_ROW.values()] * 50


@pytest.mark.parametrize("how", [methodcaller("stop"), methodcaller("kill")], ids=["stop", "kill"])
def test_an_unreachable_database_is_reported_and_found_again(site: Site, how: Callable[[Database], None]) -> None:
    assert statuses(ask(site.url)) == {200}

    how(site.server)
    by_callback, by_coroutine, by_id, on_executor = ask(site.url)
    site.server.start()

    for failed in (by_callback, by_coroutine, by_id):
        assert (failed.status, failed.json["type"]) == (500, "/problems/task-failed")
        assert failed.json["exception"]["class"] == "DatabaseError"
        assert "SELECT" not in failed.body
    assert (on_executor.status, on_executor.json["type"]) == (503, "/problems/refused")
    assert statuses(ask(site.url)) == {200}


def ask(url: str) -> list[Answer]:
    """Read one row through every route."""
    return run(Client(url).crowd(ONE_ROW))


def test_many_processes_at_once_make_the_file_once(tmp_path: Path) -> None:
    script = """
from gevent import monkey, pool
monkey.patch_all()
import json
from examples.database import users_with
found = pool.Pool(20).map(lambda _: users_with("staff") + users_with("guest"), range(20))
print(json.dumps(found))
"""
    env = environment(DATABASE_URL=f"sqlite:///{tmp_path}/file")
    command = [sys.executable, "-c", script]

    crowd = [subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for _ in range(6)]

    for process in crowd:
        for found in json.loads(process.communicate(timeout=60)[0]):
            assert [user["id"] for user in found] == [1, 2, 3]


def test_a_malformed_url_is_reported_without_its_password(rabbitmq: RabbitMQ) -> None:
    with serving(rabbitmq, "no-url", "s3cret@nowhere") as url:
        failed = ask(url)

    assert all("DATABASE_URL" in answer.body and "s3cret" not in answer.body for answer in failed)
