"""WeChat's server gets a reply within three attempts, and no answer but a reply."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4
from xml.etree import ElementTree

import pytest

from client import Answer, Client, get, run
from nginx import Nginx
from ringback.api.wechat_crypto import SafeMode
from servers import RabbitMQ, Redis, need
from stack import Web, Worker, processes, through_a_proxy
from waiting import until

TOKEN = "of-the-account"
PRESET = {"RINGBACK_WECHAT_TOKEN": TOKEN, "RINGBACK_WECHAT_TASK": "misbehaving_tasks.reply"}


@pytest.fixture(scope="module")
def web(rabbitmq: RabbitMQ, worker: Worker) -> Iterator[Web]:
    with Web(BROKER_URL=rabbitmq.url, **PRESET) as process:
        yield process


def path(token: str = TOKEN, at: float | None = None, **more: str) -> str:
    """The path with a signature as WeChat makes it, now or at another time."""
    timestamp, nonce = str(int(at or time.time())), uuid4().hex
    signature = hashlib.sha1("".join(sorted((token, timestamp, nonce))).encode()).hexdigest()
    return f"/wechat?{urlencode({'signature': signature, 'timestamp': timestamp, 'nonce': nonce, **more})}"


def message(content: str, message_id: str | None = None) -> str:
    """A text message, or an event if there is no id, with the present time."""
    name = f"<MsgId>{message_id}</MsgId>" if message_id else "<Event>CLICK</Event>"
    return (
        "<xml><ToUserName><![CDATA[account]]></ToUserName><FromUserName><![CDATA[user]]></FromUserName>"
        f"<CreateTime>{int(time.time())}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{content}]]></Content>{name}</xml>"
    )


def say(url: str, content: str) -> Answer:
    return get(url, path(), method="POST", body=message(content, message_id=uuid4().hex))


async def attempts(url: str, body: str) -> list[Answer]:
    """Send WeChat's attempts until one is answered."""
    answers = []
    for _ in range(3):
        answers.append(await Client(url).fetch(path(), method="POST", body=body, timeout=5))
        if answers[-1].status != 599:
            break
    return answers


def elements(answer: Answer) -> dict[str, str | None]:
    return {element.tag: element.text for element in ElementTree.fromstring(answer.body)}


def test_the_address_proves_that_it_knows_the_token(web: Web) -> None:
    answer = get(web.url, path(echostr="<1234>"))
    assert (answer.status, answer.body) == (200, "<1234>")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"

    for forged in (path(token="another", echostr="1234"), "/wechat?echostr=1234"):
        assert get(web.url, forged).status == 403
        assert get(web.url, forged, method="POST", body=message("a", message_id="1")).status == 403


def test_without_a_token_there_is_no_such_address(rabbitmq: RabbitMQ) -> None:
    with Web(BROKER_URL=rabbitmq.url) as web:
        assert get(web.url, path()).status == 404


def test_the_reply_is_a_message_to_its_author(web: Web) -> None:
    before = int(time.time())
    answer = say(web.url, "a & b")
    after = int(time.time())

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    told = elements(answer)
    assert before <= int(told.pop("CreateTime") or 0) <= after
    assert told == {"ToUserName": "user", "FromUserName": "account", "MsgType": "text", "Content": "<a & b>"}


def test_a_task_can_reply_with_another_kind_of_message_or_not_at_all(web: Web) -> None:
    picture = ElementTree.fromstring(say(web.url, "picture").body)
    assert (picture.findtext("MsgType"), picture.findtext("Image/MediaId")) == ("image", "7")
    assert say(web.url, "nothing").body == "success"


def test_a_task_gets_the_body_as_it_came_if_that_is_set(rabbitmq: RabbitMQ, worker: Worker) -> None:
    raw = {**PRESET, "RINGBACK_WECHAT_TASK": "misbehaving_tasks.reply_raw", "RINGBACK_WECHAT_RAW": "1"}
    with Web(BROKER_URL=rabbitmq.url, **raw) as web:
        body = message("as it came", message_id="7")
        answer = get(web.url, path(), method="POST", body=body)
    assert answer.body == f"<xml><Got>{len(body)}</Got></xml>"


def test_an_address_is_for_one_message(web: Web) -> None:
    first, second = message("one", message_id=uuid4().hex), message("two", message_id=uuid4().hex)
    address = path()

    answers = [get(web.url, address, method="POST", body=body) for body in (first, first, second)]

    assert [answer.status for answer in answers] == [200, 200, 403]
    assert elements(answers[0])["Content"] == elements(answers[1])["Content"] == "<one>"


def test_an_old_address_is_refused(web: Web) -> None:
    old = path(at=time.time() - 400)

    assert get(web.url, old, method="POST", body=message("a", message_id="1")).status == 403
    assert get(web.url, old).status == 403


def test_no_log_has_the_query(web: Web) -> None:
    say(web.url, "a")
    get(web.url, path(token="another", echostr="1234"))

    assert "POST /wechat (" in web.output
    assert "GET /wechat (" in web.output
    assert "signature=" not in web.output


KEY, APP_ID = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wx0123456789abcdef"


def test_the_safe_mode_is_encrypted_both_ways(rabbitmq: RabbitMQ, worker: Worker) -> None:
    safe_mode = SafeMode(TOKEN, KEY, APP_ID)

    def encrypted(text: str, **wrong: str) -> tuple[str, str]:
        sealed = safe_mode.encrypt(text)
        timestamp, nonce = str(int(time.time())), uuid4().hex
        signature = wrong.get("msg_signature", safe_mode.sign(timestamp, nonce, sealed))
        body = f"<xml><ToUserName>account</ToUserName><Encrypt>{sealed}</Encrypt></xml>"
        return path(nonce, encrypt_type="aes", msg_signature=signature), body

    def path(nonce: str, **more: str) -> str:
        timestamp = str(int(time.time()))
        signature = hashlib.sha1("".join(sorted((TOKEN, timestamp, nonce))).encode()).hexdigest()
        return f"/wechat?{urlencode({'signature': signature, 'timestamp': timestamp, 'nonce': nonce, **more})}"

    safe = {"RINGBACK_WECHAT_AES_KEY": KEY, "RINGBACK_WECHAT_APP_ID": APP_ID}
    with Web(BROKER_URL=rabbitmq.url, **PRESET, **safe) as web:
        address, body = encrypted(message("hi", message_id="1"))
        answer = get(web.url, address, method="POST", body=body)
        plain = get(web.url, path("1"), method="POST", body=message("hi", message_id="2"))
        forged, body = encrypted(message("hi", message_id="3"), msg_signature="0" * 40)
        refused = get(web.url, forged, method="POST", body=body)
        proved = get(web.url, path("4", echostr="hello"))

    told = elements(answer)
    assert told.keys() == {"Encrypt", "MsgSignature", "TimeStamp", "Nonce"}
    sealed, timestamp, nonce, signature = (
        told[name] or "" for name in ("Encrypt", "TimeStamp", "Nonce", "MsgSignature")
    )
    reply = ElementTree.fromstring(safe_mode.decrypt(sealed, timestamp, nonce, signature))
    assert (reply.findtext("Content"), reply.findtext("ToUserName")) == ("<hi>", "user")
    assert (plain.status, refused.status, proved.body) == (403, 403, "hello")


@pytest.mark.parametrize(
    "body",
    [
        "no XML",
        "",
        "<xml>",
        "<xml><Encrypt>abc</Encrypt></xml>",
        b"\xff\xfe",
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><xml><FromUserName>&b;</FromUserName></xml>',
    ],
)
def test_an_unreadable_message_gets_the_fallback(web: Web, body: str | bytes) -> None:
    answer = get(web.url, path(), method="POST", body=body)
    assert (answer.status, answer.body) == (200, "success")


def test_a_task_that_fails_gets_the_fallback(web: Web) -> None:
    assert say(web.url, "wait").body == "success"


@pytest.mark.parametrize("message_id", ["7", None], ids=["message", "event"])
def test_the_attempts_are_one_run_behind_nginx(
    rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path, message_id: str | None
) -> None:
    with (
        processes(rabbitmq, redis, 2, **PRESET) as agents,
        need(lambda: Nginx([agent.url for agent in agents])) as nginx,
    ):
        answers = run(attempts(nginx.url, message(f"wait {tmp_path}/ran 8", message_id and uuid4().hex)))

        assert [answer.status for answer in answers] == [599, 200]
        assert elements(answers[-1])["Content"] == f"<wait {tmp_path}/ran 8>"
        assert (tmp_path / "ran").read_text() == "begun\n"
        until(lambda: [agent.output.count("POST /wechat") for agent in agents], lambda counts: counts == [1, 1])


def test_the_last_attempt_gets_the_fallback_in_time(web: Web, tmp_path: Path) -> None:
    answers = run(attempts(web.url, message(f"wait {tmp_path}/ran 30", message_id="8")))

    assert [answer.status for answer in answers] == [599, 599, 200]
    assert answers[-1].body == "success"
    assert (tmp_path / "ran").read_text() == "begun\n"


def test_a_broker_that_comes_back_between_the_attempts_loses_nothing(rabbitmq: RabbitMQ) -> None:
    async def conversation() -> list[Answer]:
        asking = asyncio.create_task(attempts(web.url, message("after all", message_id="9")))
        await asyncio.to_thread(web.wait_for, "not published")  # the first attempt has no answer yet
        proxy.restore()
        return await asking

    with (
        through_a_proxy(rabbitmq) as (url, proxy),
        Web(BROKER_URL=url, TASK_QUEUE="wechat", **PRESET) as web,
        Worker(BROKER_URL=rabbitmq.url, TASK_QUEUE="wechat"),
    ):
        assert elements(say(web.url, "before"))["Content"] == "<before>"
        proxy.cut()
        answers = run(conversation())
    assert elements(answers[-1])["Content"] == "<after all>"
