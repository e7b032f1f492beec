"""A message rendered from a template equals the message that Celery would have made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import amqp
import pytest
from celery import Celery, signals
from celery.utils.saferepr import saferepr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.errors import BadArguments
from ringback.publish import Message
from ringback.publish.celery_amqp import OutboxAMQP
from ringback.publish.templates import MessageTemplate

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=9), values, max_size=4),
    max_leaves=12,
)


class Sender(Celery):
    """An app whose messages stay in its outbox."""

    def __init__(self, **conf: Any) -> None:
        super().__init__("sender", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
        self.conf.update(conf)
        self.admitted: list[str | None] = []
        self.accepted: list[Message] = []
        self.amqp = OutboxAMQP(self, lambda call_id, queue: self.admitted.append(queue), self.accepted.append)
        self.send_task = self.amqp.send_task

    def message(self, *args: Any, **options: Any) -> Message:
        """The message of a call of the task ``test``."""
        self.send_task("test", *args, **options)
        [message] = self.accepted
        self.accepted.clear()
        return message


@pytest.fixture
def app() -> Iterator[Sender]:
    with Sender() as app:
        yield app


def is_from_a_template(message: Message) -> bool:
    return message.encode is not None


@contextmanager
def watched() -> Iterator[None]:
    """Connect a receiver to ``before_task_publish``, so that Celery makes each message."""

    def see(**_: Any) -> None:
        pass

    signals.before_task_publish.connect(see)
    try:
        yield
    finally:
        signals.before_task_publish.disconnect(see)


def on_the_wire(message: Message) -> bytes:
    """The message's properties as py-amqp encodes them."""
    whole = amqp.Message(
        message.body,
        priority=message.priority,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        application_headers=message.headers,
        **message.properties,
    )
    encoded: bytes = whole._serialize_properties()
    return encoded


def understood(encoded: bytes) -> Any:
    message = amqp.Message()
    message._load_properties(message.CLASS_ID, encoded, 0)
    return message.properties


def test_celery_makes_the_first_message_of_a_task_and_a_template_the_next(app: Sender) -> None:
    first, second = app.message(["a"], task_id="1"), app.message(["a"], task_id="1")

    assert [is_from_a_template(first), is_from_a_template(second)] == [False, True]
    assert app.admitted == ["celery", "celery"]
    for name in ("body", "content_type", "content_encoding", "headers", "properties", "exchange", "routing_key"):
        assert getattr(first, name) == getattr(second, name)


@given(args=st.lists(VALUES, max_size=4), kwargs=st.dictionaries(st.text(max_size=9), VALUES, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_arguments_make_the_same_message(app: Sender, args: list[Any], kwargs: dict[str, Any]) -> None:
    app.message()
    filled = app.message(args, kwargs, task_id="1")
    with watched():
        made = app.message(args, kwargs, task_id="1")

    assert [is_from_a_template(filled), is_from_a_template(made)] == [True, False]
    assert (filled.body, filled.headers, filled.properties) == (made.body, made.headers, made.properties)
    assert filled.headers["argsrepr"] == saferepr(args or (), 1024)


@pytest.mark.parametrize("priority", [None, 0, 9])
@pytest.mark.parametrize("seconds", [None, 2.5])
@pytest.mark.parametrize("headers", [None, {"traceparent": "00-é"}])
def test_the_encoded_properties_are_those_of_py_amqp(
    app: Sender, priority: int | None, seconds: float | None, headers: dict[str, str] | None
) -> None:
    app.message(priority=priority)
    message = app.message(["ä"], {"b": 1}, priority=priority, headers=headers)
    if seconds is not None:
        message.expire_after(seconds)

    assert message.encode is not None
    assert understood(message.encode(message)._serialize_properties()) == understood(on_the_wire(message))


def test_a_callers_header_overrides_the_templates(app: Sender) -> None:
    app.message()
    message = app.message(headers={"origin": "elsewhere"})

    assert message.headers["origin"] == "elsewhere"
    assert not is_from_a_template(message)  # the template's headers have another origin


@pytest.mark.parametrize(
    "options",
    [
        {"countdown": 1},
        {"eta": "2030-01-01T00:00:00"},
        {"expires": 3},
        {"link": [{"task": "other", "args": []}]},
        {"shadow": "another name"},
        {"root_id": "1", "parent_id": "2"},
        {"stamped_headers": ["a"], "a": "b"},
        {"message_id": "1"},
        {"compression": "zlib"},
        {"argsrepr": "secret"},
    ],
)
def test_celery_makes_the_message_of_an_unusual_call(app: Sender, options: dict[str, Any]) -> None:
    app.message(**options)

    assert not is_from_a_template(app.message(**options))


@pytest.mark.parametrize(
    "conf",
    [
        {"task_routes": [lambda name, args, kwargs, options, task=None, **_: {"queue": str(args[0])}]},
        {"task_send_sent_event": True},
        {"task_compression": "zlib"},
    ],
)
def test_celery_makes_each_message_of_an_app_that_inspects_them(conf: dict[str, Any]) -> None:
    with Sender(**conf) as app:
        app.amqp._event_dispatcher.publish = lambda *args, **kwargs: None  # it would connect
        app.message([1])

        assert not is_from_a_template(app.message([2]))


def test_a_receiver_of_before_task_publish_sees_each_message(app: Sender) -> None:
    seen = []

    def see(headers: dict[str, Any], **_: Any) -> None:
        headers["seen"] = "yes"
        seen.append(headers["id"])

    signals.before_task_publish.connect(see)
    try:
        messages = [app.message(task_id="1"), app.message(task_id="2")]
    finally:
        signals.before_task_publish.disconnect(see)

    assert seen == ["1", "2"]
    assert all(message.headers["seen"] == "yes" for message in messages)


def test_an_app_class_that_overrides_the_sender_makes_each_message() -> None:
    class Traced(Sender):
        calls = 0

        def send_task(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().send_task(*args, **kwargs)

    with Traced() as app:
        app.message()
        app.message()

    assert app.calls == 2


def test_queues_and_priorities_have_separate_templates(app: Sender) -> None:
    for queue in ("a", "b"):
        for _ in range(2):
            message = app.message(queue=queue)
            assert message.routing_key == queue

    assert is_from_a_template(message)
    assert app.admitted == ["a", "a", "b", "b"]


def test_a_template_refuses_arguments_that_are_no_json(app: Sender) -> None:
    app.message()

    with pytest.raises(BadArguments, match="cannot be serialised"):
        app.message([object()])


def test_a_message_with_unusual_properties_makes_no_template(app: Sender) -> None:
    message = app.message()
    message.properties["user_id"] = "guest"

    assert MessageTemplate.of(message, "json") is None
