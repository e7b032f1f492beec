"""Whatever two callers do, by the same names and keys, neither sees or changes what is the other's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from client import Answer, run, websocket
from servers import RabbitMQ, Redis
from stack import processes

TOKENS = {"ann": "ann-0123456789abcdef", "bob": "bob-0123456789abcdef"}
VARIABLES = {
    "RINGBACK_TOKENS": " ".join(f"{name}={token}:*" for name, token in TOKENS.items()),
    "RINGBACK_TERMINATE": "*",
}

CALLERS = st.sampled_from(sorted(TOKENS))
NAMES = st.sampled_from(["one", "two"])
DELAYS = st.sampled_from([{}, {"countdown": 0.2}])


@pytest.fixture(scope="module")
def urls(rabbitmq: RabbitMQ, redis: Redis) -> Iterator[list[str]]:
    """Two processes that share their runs."""
    with processes(rabbitmq, redis, 2, **VARIABLES) as webs:
        yield [web.url for web in webs]


@dataclass
class Known:
    """What a caller knows of its run."""

    result: object
    touched: bool = False  #: whether the caller has cancelled or erased it


class TwoCallers(RuleBasedStateMachine):
    urls: ClassVar[list[str]]
    numbers: ClassVar[Iterator[int]] = count()
    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.run = next(self.numbers)
        self.runs: dict[tuple[str, str], Known] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.connections = [HTTPConnection(urlsplit(url).netloc, timeout=60) for url in self.urls]

    def teardown(self) -> None:
        for (caller, run_id), known in getattr(self, "runs", {}).items():
            if not known.touched:
                self.check_result(caller, run_id, known)
        for connection in getattr(self, "connections", ()):
            connection.close()

    def ask(self, caller: str, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send a caller's request to one of the processes; nothing of the other caller is in its answer."""
        connection = self.connections[next(self.numbers) % 2]
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = None if body is None else json.dumps(body)
        connection.request(
            method,
            path,
            sent,
            {"Authorization": f"Bearer {TOKENS[caller]}", "Content-Type": "application/json", **headers},
        )
        response = connection.getresponse()
        text = response.read().decode()
        self.check_text(caller, text)
        return Answer(response.status, text, response.headers, 0.0, 0.0)

    def check_text(self, caller: str, text: str) -> None:
        [other] = TOKENS.keys() - {caller}
        assert f"secret of {other}" not in text, text

    def secret(self, caller: str) -> str:
        return f"secret of {caller}, {next(self.numbers)}"

    def check_result(self, caller: str, run_id: str, known: Known) -> None:
        answer = self.ask(caller, "GET", f"/v1/runs/{run_id}?wait=20")
        assert (answer.json["state"], answer.json["result"]) == ("SUCCESS", known.result)

    @rule(target=ids, caller=CALLERS, name=NAMES, delay=DELAYS)
    def put(self, caller: str, name: str, delay: dict[str, float]) -> str:
        run_id, value = f"{self.run}-{name}", self.secret(caller)
        body = {"task": "echo", "args": [value], "options": delay}
        answer = self.ask(caller, "PUT", f"/v1/runs/{run_id}", body, Prefer="respond-async")
        if (caller, run_id) in self.runs:
            assert answer.status in (409, 410, 422)  # its own run, of other arguments
        else:
            assert answer.status in (200, 202), answer
            self.runs[caller, run_id] = Known(value)
        return run_id

    @rule(target=ids, caller=CALLERS, key=NAMES, delay=DELAYS)
    def call(self, caller: str, key: str, delay: dict[str, float]) -> str:
        value, named = self.secret(caller), {"Idempotency_Key": f"{self.run}-{key}"}
        body = {"args": [value], "options": delay}
        answer = self.ask(caller, "POST", "/v1/tasks/echo", body, Prefer="respond-async", **named)
        if (caller, key) in self.keys:
            assert answer.status in (409, 410, 422)
            return self.keys[caller, key]
        assert answer.status in (200, 202), answer
        run_id = self.keys[caller, key] = str(answer.json["id"])
        assert all(known_id != run_id for _, known_id in self.runs)
        self.runs[caller, run_id] = Known(value)
        return run_id

    @rule(target=ids, caller=CALLERS)
    def canvas(self, caller: str) -> str:
        value = self.secret(caller)
        body = {"chain": [{"task": "echo", "args": [value]}, {"task": "echo"}]}
        answer = self.ask(caller, "POST", "/v1/canvas", body, Prefer="respond-async")
        assert answer.status in (200, 202), answer
        self.runs[caller, answer.json["id"]] = Known(value)
        return str(answer.json["id"])

    @rule(caller=CALLERS, run_id=ids)
    def poll(self, caller: str, run_id: str) -> None:
        known = self.runs.get((caller, run_id))
        if known and not known.touched:
            self.check_result(caller, run_id, known)
        elif not known:
            assert self.ask(caller, "GET", f"/v1/runs/{run_id}").status == 404

    @rule(caller=CALLERS, run_id=ids)
    def follow(self, caller: str, run_id: str) -> None:
        known = self.runs.get((caller, run_id))
        answer = self.ask(caller, "GET", f"/v1/runs/{run_id}/events", Last_Event_ID="0")
        if not known:
            assert answer.status == 404
        elif not known.touched:
            assert json.dumps(known.result) in answer.body

    @rule(caller=CALLERS, run_id=ids, how=st.sampled_from(["", "?terminate=true", "?forget=true"]))
    def cancel(self, caller: str, run_id: str, how: str) -> None:
        known = self.runs.get((caller, run_id))
        answer = self.ask(caller, "DELETE", f"/v1/runs/{run_id}{how}")
        if known:
            known.touched = True
        else:
            assert answer.status == 404

    @rule(caller=CALLERS, run_id=ids, path=st.sampled_from(["GET /tasks/result/{}/", "DELETE /tasks/revoke/{}/"]))
    def use_tornado_celerys_routes(self, caller: str, run_id: str, path: str) -> None:
        method, _, place = path.format(run_id).partition(" ")
        known = self.runs.get((caller, run_id))
        answer = self.ask(caller, method, place)
        if known and method == "DELETE":
            known.touched = True
        elif not known:
            assert answer.status == 404

    @rule(caller=CALLERS, run_id=ids)
    def use_a_socket(self, caller: str, run_id: str) -> None:
        value = self.secret(caller)

        async def conversation() -> str:
            async with websocket(self.urls[0], "/v1/socket", Authorization=f"Bearer {TOKENS[caller]}") as socket:
                await socket.write_message(json.dumps({"id": run_id, "cancel": True}))
                await socket.write_message(json.dumps({"id": run_id, "task": "echo", "args": [value]}))
                heard = ""
                while '"result"' not in heard:
                    heard += str(await socket.read_message())
                return heard

        heard = run(conversation())
        self.check_text(caller, heard)
        assert value in heard


def test_neither_caller_sees_or_changes_what_is_the_others(urls: list[str]) -> None:
    TwoCallers.urls = urls
    run_state_machine_as_test(
        TwoCallers,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
