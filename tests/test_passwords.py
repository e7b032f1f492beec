"""No process prints a password of an address, well-formed or malformed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from ringback.broker import check_broker
from ringback.errors import BadSetting
from ringback.settings import check_url, read, without_password
from servers import RabbitMQ, Redis, free_port
from stack import ROOT, Web, Worker, environment, procfile

#: As it is, and as it is written in an address. ``SECRETS`` has the parts that a library may quote by themselves.
PASSWORD = "Zebra@9/Yak?Xerus#Wombat"
ENCODED = quote(PASSWORD, safe="")
SECRETS = ("Zebra", "Yak", "Xerus", "Wombat")

#: Malformed addresses of a broker and of a Redis, each with the password in it.
MALFORMED = [
    f"{{scheme}}://user:{PASSWORD}@127.0.0.1:{{port}}/0",
    f"{{scheme}}://user:{ENCODED}",
    f"{{scheme}}://user:{ENCODED}@127.0.0.1:port/0",
    f"{{scheme}}://user:{ENCODED}@[127.0.0.1/0",
    f"{{scheme}}//user:{ENCODED}@127.0.0.1:{{port}}/0",
    f"{{scheme}}:user:{ENCODED}@127.0.0.1",
    f"{{scheme}}z://user:{ENCODED}@127.0.0.1:{{port}}/0",
    f"user:{ENCODED}@127.0.0.1",
    "{scheme}://user:Zebra/Yak@127.0.0.1:{port}/0",
    "{scheme}://user:9/Yak@127.0.0.1:{port}/0",
    "{scheme}://user:9?Xerus@127.0.0.1:{port}/0",
    "{scheme}://user:9#Wombat@127.0.0.1:{port}/0",
    "{scheme}://user:9;Yak@127.0.0.1:{port}/0",
    "{scheme}://user:Zebra[Yak@127.0.0.1:{port}/0",
    f"{{scheme}}://user:ok@127.0.0.1:{{port}}/0;{{scheme}}://user:{PASSWORD}@127.0.0.1:{{port}}/0",
]


def leaks(text: str) -> list[str]:
    """The lines of a text that show a part of the password."""
    return [line for line in text.splitlines() if any(part in line for part in (*SECRETS, quote(PASSWORD)))]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:Zebra@rabbit.example:5672/vhost", "amqp://rabbit.example:5672/vhost"),
        ("amqp://user:Zebra@a:1//;amqp://user:Yak@b:2//", "amqp://a:1//;amqp://b:2//"),
        ("redis://:Zebra@[::1]:6379/0?password=Yak", "redis://[::1]:6379/0"),
        ("rpc://", "rpc://"),
        ("memory://localhost/", "memory://localhost/"),
        ("redis://h/0?password=a@Yak", "redis://…"),
        ("redis://user:Zebra", "redis://…"),
        ("Zebra", "…"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize("malformed", MALFORMED)
@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_malformed_address_is_refused_without_its_password(scheme: str, malformed: str) -> None:
    url = malformed.format(scheme=scheme, port=5672)

    assert not leaks(without_password(url))
    if not url.startswith(f"{scheme}z:"):  # which is another scheme, and not checked here
        with pytest.raises(BadSetting) as refusal:
            check_url("BROKER_URL", url)
        assert not leaks(str(refusal.value))
        assert refusal.value.__cause__ is None
    with pytest.raises(BadSetting, match="REDIS_URL") as refusal:
        read({"REDIS_URL": url})
    assert not leaks(str(refusal.value))


@pytest.mark.parametrize("variable", ["BROKER_URL", "RESULT_BACKEND", "REDIS_URL"])
@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_web_process_that_refuses_an_address_shows_no_password(variable: str, malformed: str) -> None:
    scheme = "amqp" if variable == "BROKER_URL" else "redis"
    url = malformed.format(scheme=scheme, port=free_port())
    given = {"BROKER_URL": f"amqp://guest:{ENCODED}@127.0.0.1:1//", variable: url}

    done = start([sys.executable, "app.py", "--port=0"], **given)

    assert done.returncode == 1
    assert "ringback:" in done.stderr
    assert not leaks(done.stdout + done.stderr)


@pytest.mark.parametrize("variable", ["BROKER_URL", "RESULT_BACKEND"])
@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_worker_that_refuses_an_address_shows_no_password(variable: str, malformed: str) -> None:
    scheme = "amqp" if variable == "BROKER_URL" else "redis"
    url = malformed.format(scheme=scheme, port=free_port())
    given = {"BROKER_URL": f"amqp://guest:{ENCODED}@127.0.0.1:1//", variable: url}

    done = start(["sh", "-c", procfile()["worker"]], **given)

    assert done.returncode != 0
    assert not leaks(done.stdout + done.stderr)


@pytest.mark.parametrize("name", [f"amqp://user:{ENCODED}@127.0.0.1:1//", f"proj:{PASSWORD}"])
def test_an_address_in_the_place_of_an_app_is_not_shown(name: str) -> None:
    done = start([sys.executable, "-m", "ringback", "--port=0", f"--app={name}"])

    assert done.returncode == 1
    assert not leaks(done.stdout + done.stderr)


def test_an_app_with_a_malformed_address_is_refused_without_its_password(tmp_path: Path) -> None:
    lines = ["from celery import Celery", f"app = Celery(broker='amqp://user:{PASSWORD}@h//', backend='rpc://')"]
    (tmp_path / "leaky.py").write_text("\n".join(lines))

    done = start([sys.executable, "-m", "ringback", "--port=0", "--app=leaky"], cwd=tmp_path)

    assert done.returncode == 1
    assert "BROKER_URL" in done.stderr
    assert not leaks(done.stdout + done.stderr)


def test_several_nodes_are_checked_one_by_one() -> None:
    from celery import Celery

    app = Celery(broker=["amqp://user:ok@h//", f"amqp://user:{PASSWORD}@h//"], set_as_current=False)
    with pytest.raises(BadSetting) as refusal:
        check_broker(app)
    assert not leaks(str(refusal.value))


@pytest.mark.parametrize("right", [True, False])
def test_processes_that_connect_again_and_again_show_no_password(
    rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path, right: bool
) -> None:
    """The servers take the passwords, or refuse them, and a first node is down."""
    user = f"user-{right}"
    rabbitmq.ctl("add_user", user, PASSWORD if right else "another")
    rabbitmq.ctl("set_permissions", user, ".*", ".*", ".*")
    nodes = [f"amqp://{user}:{ENCODED}@127.0.0.1:{port}//" for port in (free_port(), rabbitmq.port)]
    redis_user = f"{user}:{ENCODED}" if right else f"nobody:{ENCODED}"
    subprocess.run(
        ["redis-cli", "-p", str(redis.port), "ACL", "SETUSER", user, "on", f">{PASSWORD}", "~*", "&*", "+@all"],
        check=True,
        capture_output=True,
    )
    shared = f"redis://{redis_user}@127.0.0.1:{redis.port}/0"
    variables = {"BROKER_URL": ";".join(nodes), "RESULT_BACKEND": shared, "REDIS_URL": shared, "TASK_QUEUE": user}

    worker = Worker(ready=r"ready\." if right else "Cannot connect", **variables)
    with worker, Web(flags=["--logging=debug"], **variables) as web:
        if right:
            web.wait_for("publishing to the broker")
            for _ in range(2):
                for line in rabbitmq.ctl("-q", "list_connections", "pid", "user").splitlines():
                    if user in line:
                        rabbitmq.ctl("close_connection", line.split()[0], "test")
                web.wait_for("no connection for publishing")
                worker.wait_for("Connection to broker lost|re-establish")
        else:
            web.wait_for("(?s)(no connection for publishing.*){3}")
            web.wait_for("(?s)(no connection for the lease of shared runs.*){2}")
            worker.wait_for("(?s)(Cannot connect.*){3}")
        assert not leaks(web.output)
        assert not leaks(worker.output)


def start(command: list[str], cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a process that ends by itself."""
    return subprocess.run(
        command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False
    )
