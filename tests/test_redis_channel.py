"""How a green worker takes messages from a Redis broker: in bursts, none lost, none that it has no room for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
from kombu import Connection, Message, Queue
from redis import ConnectionError as ConnectionLost
from redis import Redis as Client

from ringback.worker import redis_channel
from ringback.worker.redis_channel import MOST, take_by_requests
from ringback.worker.redis_requests import Book, Requests
from servers import Redis, need
from waiting import until

QUEUES = [Queue("one"), Queue("two")]


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A Redis of these tests alone, which they configure."""
    with need(Redis) as redis:
        yield redis


@pytest.fixture
def client(server: Redis) -> Iterator[Any]:
    with Client.from_url(server.url) as connection:
        connection.flushall()
        connection.config_resetstat()
        yield connection


class Worker:
    """What a worker has of a connection: its channel, and the messages that it got."""

    def __init__(self, connection: Connection, queues: list[Queue], prefetch: int) -> None:
        self.connection, self.got = connection, list[Message]()
        self.channel: Any = connection.channel()
        consumer = connection.Consumer(queues, on_message=self.got.append, channel=self.channel)
        consumer.qos(prefetch_count=prefetch)
        consumer.consume()

    @property
    def requests(self) -> Requests:
        """Those that the channel makes."""
        return self.channel._requests

    def poll(self) -> None:
        """Handle one event, or none if nothing comes for some time."""
        with suppress(TimeoutError):
            self.connection.drain_events(timeout=0.2)

    def until(self, condition: Callable[[], object], tries: int = 100) -> None:
        """Handle events until something is so."""
        for _ in range(tries):
            if condition():
                return
            self.poll()
        assert condition()

    def bodies(self) -> list[Any]:
        """The bodies of the messages that it got."""
        return [message.payload for message in self.got]


@contextmanager
def worker(
    url: str, book: Book | None = None, queues: list[Queue] = QUEUES, prefetch: int = 0, **options: Any
) -> Iterator[Worker]:
    with Connection(url, transport_options=options) as connection:
        take_by_requests(connection.transport, book or Book())
        yield Worker(connection, queues, prefetch)


def send(url: str, *bodies: object, queue: str = "one", priority: int = 0, **options: Any) -> None:
    """Send messages as Celery does, with kombu's own channel."""
    with Connection(url, transport_options=options) as connection, connection.Producer() as producer:
        for body in bodies:
            producer.publish(body, routing_key=queue, priority=priority, declare=QUEUES, serializer="json")


def test_a_burst_comes_with_one_request_and_in_order(server: Redis, client: Any) -> None:
    send(server.url, *range(3 * MOST))
    with worker(server.url) as taking:
        taking.until(lambda: len(taking.got) == 3 * MOST)

    assert taking.bodies() == list(range(3 * MOST))
    assert taking.requests.number <= 5


@pytest.mark.parametrize(("queue", "priority"), [("one", 0), ("one", 9), ("two", 0), ("two", 3)])
def test_an_idle_worker_is_told_of_a_message_in_any_list(
    server: Redis, client: Any, monkeypatch: pytest.MonkeyPatch, queue: str, priority: int
) -> None:
    monkeypatch.setattr(redis_channel, "LOOK", 1e9)
    with worker(server.url) as taking:
        for number in range(5):  # each time anew
            taking.until(lambda: taking.channel._waits)
            send(server.url, number, queue=queue, priority=priority)
            taking.until(lambda expected=number + 1: len(taking.got) == expected)


def test_an_idle_worker_shows_that_it_lives_and_asks_no_more_often(
    server: Redis, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_channel, "LOOK", 1e9)
    with worker(server.url) as taking:
        taking.until(lambda: taking.channel._waits)
        before = taking.requests.number
        for _ in range(5):
            taking.poll()
        assert taking.requests.number == before

        monkeypatch.setattr(redis_channel, "LOOK", 0.0)
        taking.until(lambda: taking.requests.number >= before + 2)


def test_more_important_messages_come_first_and_queues_take_turns(server: Redis, client: Any) -> None:
    send(server.url, *["one"] * 4, priority=9)
    send(server.url, *["two"] * 4, queue="two", priority=9)
    send(server.url, "urgent", queue="two", priority=0)  # kombu's Redis transport takes the lowest first
    with worker(server.url) as taking:
        taking.until(lambda: len(taking.got) == 9)

    first, *others = taking.bodies()
    assert first == "urgent"
    assert [set(others[index : index + 2]) for index in range(0, 8, 2)] == [{"one", "two"}] * 4


def test_no_more_are_taken_than_there_is_room_for(server: Redis, client: Any) -> None:
    send(server.url, *range(5))
    with worker(server.url, prefetch=2) as taking:
        taking.until(lambda: len(taking.got) == 2)
        for _ in range(3):
            taking.poll()
        assert (len(taking.got), client.llen("one")) == (2, 3)

        taking.got[0].ack()
        taking.until(lambda: len(taking.got) == 3)
        assert client.llen("one") == 2


def test_an_acknowledgement_that_makes_room_ends_the_wait(server: Redis, client: Any) -> None:
    send(server.url, *range(3))
    with worker(server.url, prefetch=1) as taking:
        taking.until(lambda: taking.got)
        poller = taking.connection.transport.cycle

        def acknowledge() -> None:
            until(lambda: poller._waits_for_room)
            taking.got[0].ack()

        other = Thread(target=acknowledge)
        other.start()
        taking.connection.drain_events(timeout=60)  # the acknowledgement
        taking.connection.drain_events(timeout=60)  # the next message
        other.join()

    assert taking.bodies() == [0, 1]


def test_what_is_taken_is_held_until_it_is_acknowledged(server: Redis, client: Any) -> None:
    send(server.url, "a", "b")
    with worker(server.url) as taking:
        taking.until(lambda: len(taking.got) == 2)
        tags = {message.delivery_tag.encode() for message in taking.got}
        assert set(client.hkeys("unacked")) == set(client.zrange("unacked_index", 0, -1)) == tags

        taking.got[0].ack()
        taking.channel.qos.notes.write(taking.channel)
        assert set(client.hkeys("unacked")) == {taking.got[1].delivery_tag.encode()}

    assert client.llen("one") == 1  # given back, as the worker ended
    assert not client.exists("unacked")


def test_what_was_acknowledged_while_redis_was_away_is_noted_over_the_next_connection(
    server: Redis, client: Any
) -> None:
    book = Book()
    send(server.url, "a", "b")
    with worker(server.url, book) as lost:
        lost.until(lambda: len(lost.got) == 2)
        lost.channel.do_restore = False  # as where Redis cannot be reached
        lost.channel.closed = True
        lost.got[0].ack()
        lost.got[1].ack()
        send(server.url, "c")
        with worker(server.url, book) as taking:
            taking.until(lambda: taking.got)
            assert client.hlen("unacked") == 3
            taking.got[0].ack()
            until(lambda: client.hlen("unacked"), lambda held: not held)


def test_kombu_gives_back_what_a_dead_worker_held(server: Redis, client: Any) -> None:
    send(server.url, {"a": [1, "é", None, 2.5]})
    with worker(server.url) as taking:
        taking.until(lambda: taking.got)
        tag = taking.got[0].delivery_tag
        with Connection(server.url) as stock:
            stock.default_channel.qos.restore_by_tag(tag)
        taking.until(lambda: len(taking.got) == 2)

    assert [message.payload for message in taking.got] == [{"a": [1, "é", None, 2.5]}] * 2
    assert taking.got[1].headers["redelivered"]


def test_a_lost_answer_comes_again_over_the_next_connection(server: Redis, client: Any) -> None:
    book = Book()
    send(server.url, *range(5))
    with worker(server.url, book) as lost:
        lost.connection.transport.cycle.on_poll_start()  # makes the request
        while client.llen("one"):
            pass
        lost.channel.client.connection.disconnect()

        send(server.url, 5)
        with worker(server.url, book) as taking:
            taking.until(lambda: len(taking.got) == 6)
        assert lost.got == []

    assert taking.bodies() == [0, 1, 2, 3, 4, 5]


def test_a_lost_request_is_made_again(server: Redis, client: Any) -> None:
    book = Book()
    requests = book.requests(["one", "two"])
    requests.number, requests.made, requests.queues = 7, True, ["one", "two"]
    send(server.url, *range(5))
    with worker(server.url, book) as taking:
        taking.until(lambda: len(taking.got) == 5)

    assert taking.bodies() == [0, 1, 2, 3, 4]


def test_a_request_without_an_answer_ends_the_connection(
    server: Redis, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker(server.url) as taking:
        taking.connection.transport.cycle.on_poll_start()  # makes the request
        taking.channel.look()
        monkeypatch.setattr(redis_channel, "PATIENCE", -1.0)
        with pytest.raises(ConnectionLost, match="has not answered"):
            taking.channel.look()


def test_tasks_are_taken_while_the_memory_is_full(server: Redis, client: Any) -> None:
    send(server.url, *range(3))
    with worker(server.url) as taking:
        client.config_set("maxmemory", 1)
        try:
            taking.until(lambda: len(taking.got) == 3)
            for message in taking.got:
                message.ack()
            taking.channel.qos.notes.write(taking.channel)
        finally:
            client.config_set("maxmemory", 0)

    assert not client.exists("unacked")


def test_what_is_no_message_is_dropped_and_the_others_come(
    server: Redis, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    send(server.url, "before")
    for text in ("no JSON", "[1", "1,2", "null", '{"properties": 1}', json.dumps({"body": "a"}), b"\xff"):
        client.lpush("one", text)
    send(server.url, "after")
    with worker(server.url) as taking:
        taking.until(lambda: len(taking.got) == 2)

    assert taking.bodies() == ["before", "after"]
    assert caplog.text.count("dropped a message in queue 'one'") == 7


def test_the_script_is_loaded_again_where_it_is_forgotten(server: Redis, client: Any) -> None:
    with worker(server.url) as taking:
        taking.until(lambda: taking.channel._waits)
        client.script_flush()
        send(server.url, "a")
        taking.until(lambda: taking.got)


def test_two_channels_consume_side_by_side(server: Redis, client: Any) -> None:
    with worker(server.url, queues=QUEUES[:1]) as taking:
        other = Worker(taking.connection, QUEUES[1:], 0)
        for number in range(3):
            send(server.url, number)
            send(server.url, number, queue="two")
            taking.until(lambda expected=number + 1: len(taking.got) == len(other.got) == expected)
        for message in (*taking.got, *other.got):
            message.ack()

    assert (taking.bodies(), other.bodies()) == ([0, 1, 2], [0, 1, 2])
    assert not client.exists("unacked")


def test_all_keys_have_the_prefix(server: Redis, client: Any) -> None:
    send(server.url, "a", global_keyprefix="app:")
    with worker(server.url, global_keyprefix="app:") as taking:
        taking.until(lambda: taking.got)

        assert {key.split(b":")[0] for key in client.keys("*")} == {b"app"}
        assert client.hlen("app:unacked") == 1


def test_a_user_who_may_not_be_told_of_changes_gets_tasks_as_kombu_takes_them(server: Redis, client: Any) -> None:
    client.execute_command(*["ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-client|tracking"])
    url = server.url.replace("redis://", "redis://limited:pw@")
    send(server.url, *range(3))
    with worker(url) as taking:
        taking.until(lambda: len(taking.got) == 3)
        for message in taking.got:
            message.ack()
        taking.channel.qos.notes.write(taking.channel)

    assert not client.exists("unacked")
