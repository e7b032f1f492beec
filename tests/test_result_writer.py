"""The results of a worker's process: each is stored once Redis takes it, and none overwrites a success."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from redis import Connection
from redis import Redis as Client

from ringback.worker.reply_link import ReplyRefused
from ringback.worker.result_writer import Result, ResultWriter
from servers import Redis, need
from waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A Redis of these tests alone, which they configure."""
    with need(Redis) as redis:
        yield redis


@pytest.fixture
def client(server: Redis) -> Iterator[Any]:
    with Client.from_url(server.url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def writer(server: Redis) -> ResultWriter:
    def connect() -> Connection:
        connection = Connection(port=server.port, protocol=2)
        connection.connect()
        return connection

    return ResultWriter(connect)


def test_a_result_is_stored_for_its_time_and_published(client: Any, writer: ResultWriter) -> None:
    with client.pubsub() as listener:
        listener.subscribe("key")
        assert listener.get_message(timeout=20)
        writer.store(Result("key", '{"status": "SUCCESS"}', 60))
        assert listener.get_message(timeout=20)["data"] == client.get("key")

    assert 0 < client.ttl("key") <= 60


@pytest.mark.parametrize(
    ("before", "stays"), [('{"status": "SUCCESS"}', True), ('{"status": "RETRY"}', False), ("no JSON", False)]
)
def test_only_a_success_is_not_overwritten(client: Any, writer: ResultWriter, before: str, stays: bool) -> None:
    client.set("key", before)
    writer.store(Result("key", '{"status": "FAILURE"}', None))

    assert client.get("key") == (before if stays else '{"status": "FAILURE"}').encode()


def test_what_redis_refuses_for_now_is_stored_later(client: Any, writer: ResultWriter) -> None:
    writer.store(Result("first", "1", None))
    client.config_set("maxmemory", 1)
    storing = Thread(target=writer.store, args=(Result("later", "2", None),), daemon=True)
    storing.start()
    until(lambda: client.info("errorstats").get("errorstat_OOM"))
    client.config_set("maxmemory", 0)
    storing.join(20)

    assert client.get("later") == b"2"


def test_a_script_that_redis_has_forgotten_is_loaded_again(client: Any, writer: ResultWriter) -> None:
    writer.store(Result("first", "1", None))
    client.script_flush()
    writer.store(Result("later", "2", None))

    assert client.get("later") == b"2"


def test_what_redis_will_never_take_is_refused(client: Any, writer: ResultWriter) -> None:
    client.lpush("key", "a list")

    with pytest.raises(ReplyRefused, match="WRONGTYPE"):
        writer.store(Result("key", "1", None))
