"""The link to a Redis broker: what it publishes, kombu's consumers read; what Redis says of it, the listener hears."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue
from redis import Redis as Client

from ringback.broker import Depth, Message, connect
from ringback.broker.link import Link
from ringback.settings import Settings
from servers import Redis, need
from stack import through_a_proxy


class Listener:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_confirmed(self, tag: int, multiple: bool) -> None:
        self.heard.append(("confirmed", tag))

    def on_refused(self, tag: int, multiple: bool) -> None:
        self.heard.append(("refused", tag))

    def on_returned(self, call_id: str, why: str) -> None:
        self.heard.append(("returned", call_id, why))

    def on_blocked(self, why: str) -> None:
        raise AssertionError

    def on_unblocked(self) -> None:
        raise AssertionError


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


@contextmanager
def linked(url: str, settings: Settings | None = None, **options: Any) -> Iterator[tuple[Link, Listener]]:
    listener = Listener()
    app = Celery(broker=url, set_as_current=False)
    app.conf.broker_transport_options = options
    link = connect(app, settings or Settings(), listener=listener)
    try:
        yield link, listener
    finally:
        link.discard()


def message(call_id: str = "a", **more: Any) -> Message:
    fields: dict[str, Any] = {
        "body": b'[[1, 2], {}, {"callbacks": null}]',
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {"task": "add", "id": call_id},
        "properties": {"correlation_id": call_id, "reply_to": "replies", "delivery_mode": 2},
        "exchange": "",
        "routing_key": "jobs",
        "priority": None,
        "declare": (),
    }
    return Message(call_id=call_id, **{**fields, **more})


def publish(link: Link, *messages: Message) -> None:
    with link.cork:
        for each in messages:
            link.write(each)


def consumed(url: str, queue: Queue, count: int, **options: Any) -> list[Any]:
    """What kombu's consumer takes from a queue."""
    taken: list[Any] = []
    with (
        Connection(url, transport_options=options) as connection,
        connection.Consumer(queue, callbacks=[lambda body, found: taken.append(found)], no_ack=True),
    ):
        while len(taken) < count:
            connection.drain_events(timeout=20)
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.2)
    return taken


JOBS = Queue("jobs", Exchange(""), "jobs")


def test_a_burst_is_read_in_its_order_with_all_that_was_sent(server: Redis, client: Any) -> None:
    sent = [message(str(number)) for number in range(20)]
    with linked(server.url) as (link, listener):
        publish(link, *sent)

    assert listener.heard == [("confirmed", tag) for tag in range(1, 21)]
    taken = consumed(server.url, JOBS, 20)
    assert [found.headers["id"] for found in taken] == [str(number) for number in range(20)]
    [first, *_] = taken
    assert first.payload == [[1, 2], {}, {"callbacks": None}]
    assert first.properties["reply_to"] == "replies"
    assert len({found.delivery_tag for found in taken}) == 20


def test_it_is_what_kombu_itself_would_have_sent(server: Redis, client: Any) -> None:
    with linked(server.url) as (link, _):
        publish(link, message())
    with Connection(server.url) as connection:
        connection.Producer().publish(
            message().body,
            routing_key="jobs",
            content_type="application/json",
            content_encoding="utf-8",
            headers=message().headers,
            correlation_id="a",
            reply_to="replies",
            delivery_mode=2,
        )

    kombus, ours = map(json.loads, client.lrange("jobs", 0, 1))
    for each in (ours, kombus):
        del each["properties"]["delivery_tag"]
    assert ours == kombus


@pytest.mark.parametrize(("priority", "key"), [(None, "jobs"), (0, "jobs"), (2, "jobs"), (5, "jobs:3"), (9, "jobs:9")])
def test_a_priority_has_its_list(server: Redis, client: Any, priority: int | None, key: str) -> None:
    with linked(server.url, sep=":") as (link, _):
        publish(link, message(priority=priority))
        assert client.keys() == [key.encode()]
        assert link.depth("jobs") == Depth(1, None)


def test_priority_steps_are_those_of_the_project(server: Redis, client: Any) -> None:
    with linked(server.url, priority_steps=list(range(10)), sep=":") as (link, _):
        publish(link, message("a", priority=5), message("b", priority=6), message("c"))
        assert sorted(client.keys()) == [b"jobs", b"jobs:5", b"jobs:6"]
        assert link.depth("jobs") == Depth(3, None)


def test_all_keys_have_the_prefix_of_the_project(server: Redis, client: Any) -> None:
    shop = Queue("shop", Exchange("shop"), "sold")
    with linked(server.url, global_keyprefix="p:") as (link, _):
        publish(link, message(), message("b", exchange="shop", routing_key="sold", declare=[shop]))
        assert link.depth("jobs") == link.depth("shop") == Depth(1, None)

    assert all(key.startswith(b"p:") for key in client.scan_iter())
    assert len(consumed(server.url, shop, 1, global_keyprefix="p:")) == 1


@pytest.mark.parametrize(
    ("kind", "binding", "routing_key"), [("direct", "sold", "sold"), ("topic", "sold.#", "sold.out.today")]
)
def test_an_exchange_sends_to_all_queues_that_are_bound(
    server: Redis, client: Any, kind: str, binding: str, routing_key: str
) -> None:
    exchange = Exchange("shop", kind)
    queues = [Queue(name, exchange, key) for name, key in (("one", binding), ("two", binding), ("three", "other"))]
    with linked(server.url) as (link, listener):
        publish(link, message(exchange="shop", routing_key=routing_key, declare=queues))
        assert [link.depth(queue.name).messages for queue in queues] == [1, 1, 0]  # type: ignore[union-attr]

    assert listener.heard == [("confirmed", 1)]


def test_a_queue_that_is_bound_later_is_found(server: Redis, client: Any) -> None:
    late = Queue("late", Exchange("shop"), "sold")
    with linked(server.url) as (link, listener):
        publish(link, message(exchange="shop", routing_key="sold", declare=[late.exchange]))
        assert listener.heard[0][:2] == ("returned", "a")
        with Connection(server.url) as connection:
            late(connection.channel()).declare()
        link._bindings.clear()  # type: ignore[attr-defined]  # as after a second
        publish(link, message("b", exchange="shop", routing_key="sold"))
        assert link.depth("late") == Depth(1, None)


def test_a_command_for_all_workers_reaches_those_that_listen(server: Redis, client: Any) -> None:
    control = Exchange("control", "fanout", durable=False)
    with Connection(server.url) as connection:
        taken: list[Any] = []
        queue = Queue("worker", control, auto_delete=True)
        with connection.Consumer(queue, callbacks=[lambda body, found: taken.append(body)], no_ack=True):
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.1)  # subscribes
            with linked(server.url) as (link, listener):
                publish(link, message(exchange="control", routing_key="", declare=[control]))
            connection.drain_events(timeout=20)

    assert taken == [[[1, 2], {}, {"callbacks": None}]]
    assert listener.heard == [("confirmed", 1)]


def test_what_redis_does_not_take_for_now_is_refused(server: Redis, client: Any) -> None:
    with linked(server.url) as (link, listener):
        client.config_set("maxmemory", 1)
        try:
            publish(link, message("a"), message("b"))
        finally:
            client.config_set("maxmemory", 0)
        publish(link, message("c"))

    assert listener.heard == [("refused", 1), ("refused", 2), ("confirmed", 3)]


def test_what_redis_will_never_take_is_returned(server: Redis, client: Any) -> None:
    client.set("jobs", "no list")
    with linked(server.url) as (link, listener):
        publish(link, message("a"), message("b", routing_key="others"))

    assert [entry[:2] for entry in listener.heard] == [("returned", "a"), ("confirmed", 1), ("confirmed", 2)]
    assert "WRONGTYPE" in listener.heard[0][2]


def test_a_link_is_one_connection(server: Redis, client: Any) -> None:
    before = len(client.client_list())
    with linked(server.url) as (link, _):
        publish(link, message(exchange="shop", routing_key="x", declare=[Queue("shop", Exchange("shop"), "x")]))
        link.depth("jobs")
        assert len(client.client_list()) == before + 1


def test_a_silent_redis_is_given_up(server: Redis) -> None:
    settings = Settings(heartbeat=0.01, connect_timeout=0.3)
    with through_a_proxy(server) as (url, proxy), linked(url, settings) as (link, _):
        link.drain(0.02)
        link.beat()
        proxy.stall()
        link.drain(0.02)
        with pytest.raises(link.errors):
            link.beat()


def test_an_aborted_link_raises_at_once(server: Redis) -> None:
    with linked(server.url) as (link, _):
        link.abort()
        with pytest.raises(link.errors):
            publish(link, message())
