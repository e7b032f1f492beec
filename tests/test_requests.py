"""The answers of the articles' handlers, and their times, on every broker and result backend."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from client import Client, answered_in_order, get, run, statuses
from servers import RabbitMQ
from stack import Web, Worker


@pytest.fixture(params=["web", "web_on_redis", "web_with_redis_broker", "embedded"])
def url(request: pytest.FixtureRequest) -> str:
    server: Web = request.getfixturevalue(request.param)
    return server.url


@pytest.mark.parametrize(
    ("path", "body", "seconds"),
    [
        ("/async-sleep", "3", 3),
        ("/gen-async-sleep", "3", 3),
        ("/gen-async-sleep-add", "[2, 3]", 2),
        ("/i_want_you_now", "i want you, right now!", 0),
    ],
)
def test_a_request_is_answered_when_its_task_ends(url: str, path: str, body: str, seconds: int) -> None:
    client = Client(url)
    shorter = [client.fetch(f"/sleep?seconds={seconds - 1}")] if seconds else []
    *_, answer, _ = run(answered_in_order(*shorter, client.fetch(path), client.fetch(f"/sleep?seconds={seconds + 1}")))

    assert (answer.status, answer.body) == (200, body)


def test_the_tasks_can_be_called_by_their_names(url: str) -> None:
    assert get(url, "/add?x=1&y=2").body == "3"
    assert get(url, "/sleep?seconds=0.5").body == "0.5"
    assert get(url, "/echo?msg=hello").body == "hello"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:.]+: hello", get(url, "/echo?msg=hello&timestamp=1").body)


def test_a_failed_task_gives_500_with_its_exception(url: str) -> None:
    answer = get(url, "/error?msg=went+wrong")

    problem = json.loads(answer.body)
    assert answer.status == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["exception"] == {"class": "Exception", "message": "went wrong"}
    assert problem["type"].endswith("/task-failed")


def test_the_relay_answers_with_the_reply_of_its_task(url: str) -> None:
    assert get(url, "/", method="POST", body="abcdefghi").body == "cde"
    assert get(url, "/", method="POST", body="äöüßÄÖÜ").body == "üßÄ"


def test_the_relay_refuses_a_body_that_is_not_utf_8(url: str) -> None:
    assert get(url, "/", method="POST", body=b"\xff\xfe\xfd").status == 400


def test_arguments_that_do_not_fit_give_422(url: str) -> None:
    answer = get(url, "/add?x=1")

    assert answer.status == 422
    assert "'y'" in json.loads(answer.body)["detail"]


def test_an_unknown_path_gives_404(url: str) -> None:
    assert get(url, "/nothing-here").status == 404


def test_200_requests_at_once_are_answered_together(url: str) -> None:
    *answers, longer = run(Client(url).crowd([*["/sleep?seconds=1"] * 200, "/sleep?seconds=3"]))

    assert statuses([*answers, longer]) == {200}
    assert {answer.body for answer in answers} == {"1"}
    assert max(answer.received for answer in answers) < longer.received


def test_the_first_request_does_not_stall(rabbitmq: RabbitMQ, worker: Worker) -> None:
    with Web(BROKER_URL=rabbitmq.url) as web:
        client = Client(web.url)
        # The tested stall takes a second.
        first, _ = run(answered_in_order(client.fetch("/add?x=1&y=2"), client.fetch("/pause/0.9")))

    assert first.body == "3"


@pytest.mark.parametrize("server", ["web", "web_on_redis"])
def test_calls_that_are_awaited_late_are_not_lost(server: str, request: pytest.FixtureRequest) -> None:
    answer = get(request.getfixturevalue(server).url, "/late-then")

    assert (answer.status, answer.body) == (200, "[0.5, 3]")


@pytest.mark.parametrize(("length", "body"), [(1, "3"), (2, "13"), (3, "23")])
@pytest.mark.parametrize("server", ["web", "web_on_redis"])
def test_a_chain_is_answered_by_its_last_task(
    server: str, length: int, body: str, request: pytest.FixtureRequest
) -> None:
    assert get(request.getfixturevalue(server).url, f"/chain/{length}").body == body


@pytest.mark.parametrize("server", ["web", "web_on_redis"])
def test_a_group_is_answered_by_all_its_members(server: str, request: pytest.FixtureRequest) -> None:
    assert get(request.getfixturevalue(server).url, "/group").body == "[0, 2, 4, 6, 8]"


def test_an_error_callback_gets_every_other_outcome(web: Web) -> None:
    assert get(web.url, "/catch-error").body == "caught TaskFailed"


def test_an_exception_with_two_arguments_is_reported_whole(web: Web) -> None:
    problem = json.loads(get(web.url, "/fail_with_two?first=a&second=b").body)

    assert problem["exception"]["class"] == "ValueError"
    assert problem["exception"]["message"] == "('a', 'b')"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_past_its_deadline_a_request_gets_504_with_the_task_id(web: Web, method: str) -> None:
    body = "" if method == "POST" else None
    client = Client(web.url)
    asked = client.fetch("/sleep/3/0.5", method=method, body=body)
    _, answer, _ = run(answered_in_order(client.fetch("/pause/0.4"), asked, client.fetch("/pause/2")))

    problem = json.loads(answer.body)
    assert answer.status == 504
    assert re.fullmatch(r"[0-9a-f-]{36}", problem["id"])


def test_a_plain_tornado_handler_gets_504_with_the_task_id_too(web: Web) -> None:
    assert get(web.url, "/plain/0.1").body == "0.1"

    answer = get(web.url, "/plain/3")

    assert answer.status == 504
    assert "id" in json.loads(answer.body)


def test_a_plain_tornado_coroutine_gets_504_with_the_task_id_too(web: Web) -> None:
    answer = get(web.url, "/plain-coroutine/10")

    assert answer.status == 504
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["id"]
    assert get(web.url, "/plain-coroutine/0").body == "0.0"


def test_an_8_mb_result_arrives_whole_and_at_once_on_an_idle_server(web: Web) -> None:
    size = 8 * 1024 * 1024

    async def ask() -> None:
        client = Client(web.url)
        idle: list[float] = []
        busy: list[float] = []
        for _ in range(3):
            await asyncio.sleep(2)  # the loop must be idle
            for took in (idle, busy):
                answer = await client.fetch(f"/big?size={size}")
                assert answer.body == "x" * size
                took.append(answer.took)
        print(f"seconds on an idle server {idle}, right after that {busy}")
        assert min(idle) < 3 * min(busy)

    run(ask())


@pytest.mark.parametrize("server", ["web", "web_on_redis"])
def test_a_greenlet_may_wait_with_celerys_own_get(server: str, request: pytest.FixtureRequest) -> None:
    assert get(request.getfixturevalue(server).url, "/get-on-greenlets").body == "[3, [0, 2, 4]]"
