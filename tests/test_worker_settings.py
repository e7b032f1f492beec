"""``ringback.worker.configure`` sets a worker's defaults, and a project's own settings take precedence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.worker.request import Request

from ringback.wire import read_ahead
from ringback.worker import apply, configure
from ringback.worker.configuration import ALWAYS, AMQP, GREEN, REDIS, REDIS_TRANSPORT, REQUEST, RPC


def add(x: int, y: int) -> int:
    return x + y


@pytest.fixture
def make_app() -> Iterator[Any]:
    """A function that makes the app of another project."""
    made = []

    def make(broker: str = "amqp://nobody@127.0.0.1:1//", backend: str = "rpc://", **conf: Any) -> Celery:
        app = Celery("stranger", broker=broker, backend=backend, set_as_current=False)
        app.conf.update(conf)
        app.task(name="add")(add)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


def settings_of(app: Celery, names: dict[str, Any]) -> dict[str, Any]:
    return {name: app.conf[name] for name in names}


@pytest.mark.parametrize(
    ("broker", "backend", "pool", "groups", "others"),
    [
        ("amqp://a@127.0.0.1:1//", "rpc://", "gevent", [ALWAYS, GREEN, AMQP, RPC], [REDIS]),
        ("amqp://a@127.0.0.1:1//", "redis://127.0.0.1:1", "prefork", [ALWAYS, AMQP, REDIS], [GREEN]),
        (["amqp://a@127.0.0.1:1//", "amqp://b@127.0.0.1:1//"], "rpc://", "solo", [ALWAYS, AMQP, RPC], [GREEN, REDIS]),
        ("redis://127.0.0.1:1", "redis://127.0.0.1:1", "threads", [ALWAYS, REDIS], [GREEN, AMQP]),
        ("memory://", "rpc://", "solo", [ALWAYS, RPC], [GREEN, AMQP, REDIS]),
    ],
)
def test_a_worker_gets_what_is_safe_for_its_broker_backend_and_pool(
    make_app: Any, broker: Any, backend: str, pool: str, groups: list[dict[str, Any]], others: list[dict[str, Any]]
) -> None:
    app = make_app(broker, backend)
    apply(app, pool)

    for group in groups:
        assert settings_of(app, group) == group
    for group in others:
        assert settings_of(app, group) != group


class Old:
    """Settings by the names that Celery 3 had."""

    BROKER_HEARTBEAT = 77
    CELERYD_PREFETCH_MULTIPLIER = 3


class Django:
    """Settings of a Django project."""

    CELERY_BROKER_HEARTBEAT = 77
    CELERY_WORKER_PREFETCH_MULTIPLIER = 3


class Module:
    """Settings in a module of their own."""

    broker_heartbeat = 77
    worker_prefetch_multiplier = 3


NEW: dict[str, Any] = {"broker_heartbeat": 77, "worker_prefetch_multiplier": 3}
WAYS: dict[str, Callable[[Celery], object]] = {
    "a module": lambda app: app.config_from_object(Module),
    "a dict": lambda app: app.config_from_object(dict(NEW)),
    "Django": lambda app: app.config_from_object(Django, namespace="CELERY"),
    "old names": lambda app: app.config_from_object(Old),
    "update": lambda app: app.conf.update(NEW),
    "attributes": lambda app: [setattr(app.conf, name, value) for name, value in NEW.items()],
    "defaults": lambda app: app.add_defaults(dict(NEW)),
}


@pytest.mark.parametrize("configured_first", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_whatever_way_a_project_sets_something_it_takes_precedence(
    way: Callable[[Celery], object], configured_first: bool
) -> None:
    with Celery("stranger", set_as_current=False) as app:
        if configured_first:
            way(app)
            assert app.conf.broker_heartbeat == 77  # from now on the app is configured
            configure(app)
        else:
            configure(app)
            way(app)
        assert app.conf.worker_prefetch_multiplier == 3
        apply(app, "gevent")

        assert settings_of(app, NEW) == NEW
        assert settings_of(app, GREEN) == GREEN


def test_a_setting_that_is_celerys_default_is_a_setting_all_the_same() -> None:
    own = {"broker_heartbeat": 120, "worker_prefetch_multiplier": 4}
    with Celery("stranger", set_as_current=False) as app:
        configure(app)
        app.config_from_object(own)
        apply(app, "gevent")

        assert settings_of(app, own) == own


def test_the_command_line_finds_the_smaller_prefetch() -> None:
    with Celery("stranger", set_as_current=False) as app:
        configure(app)
        app.config_from_object({"broker_heartbeat": 77})

        assert app.conf.worker_prefetch_multiplier == 1


def test_a_projects_own_settings_take_precedence(make_app: Any) -> None:
    own = {
        "broker_heartbeat": 77,
        "result_persistent": False,
        "worker_enable_prefetch_count_reduction": True,
        "result_backend_thread_safe": False,
        "worker_consumer": "proj:Consumer",
        "broker_transport_options": {"confirm_publish": False, "max_retries": 3},
    }
    app = make_app(**own)
    apply(app, "gevent")

    options = own.pop("broker_transport_options")
    assert settings_of(app, own) == own
    assert app.conf.broker_transport_options == {**options, "frame_writer": read_ahead}  # type: ignore[dict-item]


def test_a_broker_that_is_not_amqp_keeps_its_transport_options(make_app: Any) -> None:
    app = make_app("redis://127.0.0.1:1", broker_transport_options={"visibility_timeout": 60, "socket_timeout": 60})
    apply(app, "gevent")

    assert app.conf.broker_transport_options == {**REDIS_TRANSPORT, "visibility_timeout": 60, "socket_timeout": 60}


def test_a_task_with_a_request_of_its_own_keeps_it(make_app: Any) -> None:
    app = make_app()

    class OwnRequest(Request):  # type: ignore[misc]
        """A ``Request`` class of the project."""

    app.task(name="own", Request=OwnRequest)(add)
    apply(app, "gevent")

    assert app.tasks["add"].Request == REQUEST
    assert app.tasks["own"].Request is OwnRequest
