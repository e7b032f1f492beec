"""The example of another ``Access``: callers proved by JSON Web Tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from client import call, get
from servers import RabbitMQ
from stack import Web, Worker

CLAIMS = {"sub": "ann", "aud": "ringback", "iss": "https://id.example", "scope": "read call", "tasks": ["add"]}

APP = """
from gevent import monkey; monkey.patch_all()
from pathlib import Path
import ringback.cli, tasks
from examples.jwt_access import JwtAccess
access = JwtAccess(Path({key!r}).read_text(), "ringback", "https://id.example")
ringback.cli.main(tasks.app, access=access)
"""


def private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_key(private: str) -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private.encode(), None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


KEY, OTHER_KEY = private_key(), private_key()


@pytest.fixture(scope="module")
def web(rabbitmq: RabbitMQ, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("jwt")
    (folder / "key.pem").write_text(public_key(KEY))
    script = folder / "app_with_jwt.py"
    script.write_text(APP.format(key=str(folder / "key.pem")))
    with Web(str(script), flags=["--address=0.0.0.0"], BROKER_URL=rabbitmq.url) as process:
        process.url = process.url.replace("0.0.0.0", "127.0.0.1")
        yield process


def bearer(key: str = KEY, algorithm: str = "ES256", **claims: object) -> dict[str, str]:
    content = {
        name: value for name, value in {**CLAIMS, "exp": time.time() + 60, **claims}.items() if value is not None
    }
    return {"Authorization": f"Bearer {jwt.encode(content, key, algorithm)}"}


def test_a_token_of_the_provider_lets_its_caller_in(web: Web) -> None:
    made = call(web.url, "add", 1, 2, **bearer())

    assert (made.status, made.json["result"]) == (200, 3)
    assert call(web.url, "echo", 1, **bearer()).status == 403
    assert get(web.url, made.json["links"]["self"], headers=bearer()).status == 200
    assert get(web.url, made.json["links"]["self"], headers=bearer(sub="bob")).status == 404
    assert get(web.url, made.json["links"]["self"], method="DELETE", headers=bearer()).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": bearer()["Authorization"].replace("Bearer", "Basic")},
        bearer(key=OTHER_KEY),
        bearer(exp=time.time() - 60),
        bearer(exp=None),
        bearer(sub=None),
        bearer(aud="another"),
        bearer(iss="https://evil.example"),
        bearer(key=None, algorithm="none"),  # type: ignore[arg-type]
        bearer(key="x" * 32, algorithm="HS256"),
    ],
)
def test_no_other_token_does(web: Web, headers: dict[str, str]) -> None:
    assert call(web.url, "add", 1, 2, **headers).status in (401, 429)


def test_a_token_that_names_no_tasks_may_call_none(web: Web) -> None:
    for tasks in (None, "add", [], [1]):
        assert call(web.url, "add", 1, 2, **bearer(tasks=tasks)).status == 403


def test_a_caller_may_have_any_name(web: Web) -> None:
    for name in ("a/b", "a:b", "ü", "x" * 500):
        made = call(web.url, "add", 1, 2, Idempotency_Key="same", **bearer(sub=name))
        assert (made.status, made.json["result"]) == (200, 3)


def test_the_example_is_a_kind_of_access(tmp_path: Path) -> None:
    from examples.jwt_access import JwtAccess
    from ringback.web import Access

    access: Access = JwtAccess(public_key(KEY), "ringback", "https://id.example")
    assert access.is_guarded
