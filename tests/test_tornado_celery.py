"""tornado-celery's routes answer its users' requests as tornado-celery does."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from client import Answer, Client, answered_in_order, get, run
from stack import Web

TASKS = "misbehaving_tasks"

#: The header that ``curl -d`` sends.
AS_CURL = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(params=["web", "web_on_redis", "web_with_redis_broker", "embedded"])
def url(request: pytest.FixtureRequest) -> str:
    server: Web = request.getfixturevalue(request.param)
    return server.url


def post(url: str, path: str, body: str, **headers: str) -> Answer:
    """Post a body as ``curl -d`` does."""
    return get(url, path, method="POST", body=body, headers={**AS_CURL, **headers})


def test_the_root_lists_the_tasks(url: str) -> None:
    body = get(url, "/").body

    assert body.startswith("Tasks: add, count, echo, error")
    assert "celery." not in body


def test_apply_holds_until_the_task_has_ended(url: str) -> None:
    answer = post(url, "/apply/add/", '{"args": [1, 2]}')

    assert answer.status == 200
    assert answer.json == {"task-id": answer.json["task-id"], "state": "SUCCESS", "result": 3}


def test_apply_async_answers_at_once_and_the_result_can_be_fetched(url: str) -> None:
    async def conversation() -> str:
        client = Client(url)
        held = asyncio.create_task(client.call("sleep", 1))
        made = await client.fetch("/apply-async/sleep/", method="POST", body='{"args": [1]}', headers=AS_CURL)
        call_id: str = made.json["task-id"]
        assert (made.status, made.json) == (200, {"task-id": call_id, "state": "PENDING"})
        assert (await client.fetch(f"/tasks/result/{call_id}/")).json == {"task-id": call_id, "state": "PENDING"}
        assert not held.done()
        await held
        return call_id

    call_id = run(conversation())
    get(url, f"/v1/runs/{call_id}?wait=10")

    assert get(url, f"/tasks/result/{call_id}/").json == {"task-id": call_id, "state": "SUCCESS", "result": 1}


@pytest.mark.parametrize("value", ["0", '""', "null", "false", "[]"])
def test_a_falsy_result_is_a_result(web: Web, value: str) -> None:
    answer = post(web.url, f"/apply/{TASKS}.give/", f'{{"args": [{value}]}}')

    assert f'"result": {value}' in answer.body
    assert get(web.url, f"/tasks/result/{answer.json['task-id']}/").body == answer.body


def test_a_failure_has_an_error_and_no_result(url: str) -> None:
    answer = post(url, "/apply/error/", '{"kwargs": {"msg": "went wrong"}}')

    assert answer.status == 200
    call_id = answer.json["task-id"]
    assert answer.json == {"task-id": call_id, "state": "FAILURE", "error": "Exception: went wrong", "traceback": None}
    assert get(url, f"/tasks/result/{call_id}").json == answer.json


def test_a_task_that_takes_longer_than_the_time_out_is_revoked(url: str) -> None:
    client = Client(url)
    body = '{"args": [3], "timeout": 1}'
    asked = client.fetch("/apply/sleep/", method="POST", body=body, headers=AS_CURL)
    answer, _ = run(answered_in_order(asked, client.call("sleep", 2.5)))

    assert answer.status == 200
    assert answer.json == {"task-id": answer.json["task-id"], "state": "REVOKED"}


def test_a_task_that_expires_before_its_countdown_is_revoked(url: str) -> None:
    answer = post(url, "/apply/add/", '{"args": [1, 2], "countdown": 2, "expires": 1}')

    assert answer.status == 200
    assert answer.json == {"task-id": answer.json["task-id"], "state": "REVOKED"}


def test_a_task_is_revoked_by_its_id(url: str) -> None:
    call_id = post(url, "/apply-async/add/", '{"args": [1, 2], "countdown": 2}').json["task-id"]

    assert get(url, f"/tasks/revoke/{call_id}/", method="DELETE").json == {"task-id": call_id}
    assert get(url, f"/v1/runs/{call_id}?wait=10").json["state"] == "REVOKED"
    assert get(url, f"/tasks/result/{call_id}/").json == {"task-id": call_id, "state": "REVOKED"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/apply/add/", "{", 400),
        ("/apply-async/add/", "{", 400),
        ("/apply/add/", '{"args": "12"}', 400),
        ("/apply-async/add/", '{"args": {}}', 400),
        ("/apply/add/", '{"timeout": "soon"}', 400),
        ("/apply/nothing/", '{"args": []}', 404),
        ("/apply-async/celery.backend_cleanup/", "", 404),
        ("/apply/add/", "", 422),
    ],
)
def test_a_malformed_call_is_refused(web: Web, path: str, body: str, status: int) -> None:
    assert post(web.url, path, body).status == status


def test_an_unknown_id_is_404(web: Web) -> None:
    assert get(web.url, f"/tasks/result/{uuid4()}/").status == 404
    assert get(web.url, f"/tasks/revoke/{uuid4()}/", method="DELETE").status == 404


def test_a_page_of_another_origin_may_not_call(web: Web) -> None:
    assert post(web.url, "/apply/add/", '{"args": [1, 2]}', Origin="https://elsewhere.example").status == 403
    assert post(web.url, "/apply/add/", '{"args": [1, 2]}', Origin=web.url).status == 200
