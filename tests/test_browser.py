"""What a page in a real Chromium can and cannot do with a gateway on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from browser import Site, chromium, report_of
from client import get
from stack import Web

TOKEN = "0123456789abcdef"

#: The page tries everything that a page can send, reports what came back, and leaves the rest to the gateway's log.
ATTACK = """
const target = TARGET;
const heard = {};
const later = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const attempt = async (name, work) => {
  try { heard[name] = await Promise.race([work(), later(5).then(() => "nothing")]); }
  catch (error) { heard[name] = "refused"; }
};
const touch = (name) => JSON.stringify({ args: [MARKS + name] });
const text = async (...request) => (await fetch(...request)).text();
const element = (kind, attributes) => new Promise((resolve) => {
  const it = Object.assign(document.createElement(kind), attributes);
  it.onload = () => resolve(kind === "iframe" ? "nothing" : "loaded");
  it.onerror = () => resolve("refused");
  document.documentElement.append(it);
});
const submit = (name, action, fields) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  const form = Object.assign(document.createElement("form"), { action, method: "POST", target: name });
  frame.name = name;
  form.enctype = "text/plain";
  for (const [key, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement("input"), { name: key, value }));
  }
  document.documentElement.append(frame, form);
  form.submit();
  later(1).then(() => resolve("nothing"));
});
(async () => {
  const task = "misbehaving_tasks.count_to";
  const json = { "Content-Type": "application/json" };
  await attempt("read", () => text(`${target}/v1/tasks`));
  await attempt("read metrics", () => text(`${target}/metrics`));
  await attempt("read a description", () => text(`${target}/openapi.json`));
  const post = (path, name, options) => () => text(target + path, { method: "POST", body: touch(name), ...options });
  const simple = { mode: "no-cors" };
  await attempt("call with JSON", post(`/v1/tasks/${task}`, "json", { headers: json }));
  await attempt("call as text", post(`/v1/tasks/${task}`, "text", simple));
  await attempt("call as tornado-celery", post(`/apply/${task}/`, "apply", simple));
  await attempt("call later", post(`/apply-async/${task}/`, "later", simple));
  await attempt("call by a handler", () => text(`${target}/count_to?path=${MARKS}handler`, { mode: "no-cors" }));
  await attempt("relay", () => text(`${target}/`, { method: "POST", mode: "no-cors", body: "abcdefghi" }));
  await attempt("image", () => element("img", { src: `${target}/count_to?path=${MARKS}image` }));
  await attempt("script", () => element("script", { src: `${target}/count_to?path=${MARKS}script` }));
  const style = `${target}/count_to?path=${MARKS}style`;
  await attempt("style", () => element("link", { rel: "stylesheet", href: style }));
  await attempt("frame", () => element("iframe", { src: `${target}/docs` }));
  await attempt("frame a call", () => element("iframe", { src: `${target}/count_to?path=${MARKS}frame` }));
  await attempt("form", () => submit("form", `${target}/apply/${task}/`, { '{"args":["': `${MARKS}form"]}` }));
  await attempt("beacon", async () => (navigator.sendBeacon(`${target}/apply/${task}/`, touch("beacon")), "nothing"));
  await attempt("socket", () => new Promise((resolve, reject) => {
    const socket = new WebSocket(target.replace("http", "ws") + "/v1/socket");
    socket.onopen = () => resolve("open");
    socket.onerror = reject;
  }));
  await attempt("stream", () => new Promise((resolve, reject) => {
    const source = new EventSource(`${target}/v1/runs/known/events`);
    source.onmessage = source.onopen = () => resolve("open");
    source.onerror = reject;
  }));
  await attempt("ticket", () => text(`${target}/v1/tickets`, { method: "POST" }));
  await later(1);
  await fetch("/report", { method: "POST", body: JSON.stringify(heard) });
})();
"""

#: What a page of an allowed origin does, with its token.
FRIEND = """
(async () => {
  const target = TARGET, token = { Authorization: "Bearer TOKEN" };
  const heard = {};
  const answer = async (...request) => (await fetch(...request)).json();
  const ticket = async () => (await answer(`${target}/v1/tickets`, { method: "POST", headers: token })).ticket;
  const json = { ...token, "Content-Type": "application/json", Prefer: "respond-async" };
  const call = { method: "POST", headers: json, body: JSON.stringify({ args: [1] }) };
  const made = await answer(`${target}/v1/tasks/sleep`, call);
  heard.events = await new Promise(async (resolve) => {
    const source = new EventSource(`${target}/v1/runs/${made.id}/events?ticket=${await ticket()}`);
    source.addEventListener("result", ({ data }) => { source.close(); resolve(JSON.parse(data).result); });
    source.onerror = () => resolve("refused");
  });
  const used = await ticket();
  const ask = () => new Promise((resolve) => {
    const socket = new WebSocket(`${target.replace("http", "ws")}/v1/socket?ticket=${used}`);
    socket.onopen = () => socket.send(JSON.stringify({ id: "a", task: "add", args: [1, 2] }));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.event === "result") { socket.close(); resolve(message.data.result); }
    };
    socket.onerror = () => resolve("refused");
  });
  heard.socket = await ask();
  heard.again = await ask();
  heard.without = (await answer(`${target}/v1/tasks`)).status;
  await fetch("/report", { method: "POST", body: JSON.stringify(heard) });
})();
"""


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    """A gateway as ``make run`` starts it, without tokens."""
    with Web() as process:
        yield process


def test_a_hostile_page_can_neither_call_nor_read_nor_frame(web: Web, tmp_path: Path) -> None:
    control = tmp_path / "control"
    assert get(web.url, f"/count_to?path={control}").status == 200
    assert control.exists()  # so a page that could call would leave a mark

    for host in ("127.0.0.1", "localhost", "evil.example"):
        marks = tmp_path / host
        marks.mkdir()
        for name in ("127.0.0.1", "localhost", "target.example"):
            target = f"http://{name}:{urlsplit(web.url).port}"
            script = ATTACK.replace("TARGET", json.dumps(target)).replace("MARKS", json.dumps(f"{marks}/"))
            heard = report_of(script, host)

            assert set(heard.values()) <= {"refused", "nothing", ""}, (host, name, heard)
            assert list(marks.iterdir()) == [], (host, name)
    refused = re.findall(r" (403|421) (?:GET|POST|OPTIONS) /", web.output)
    assert refused.count("403") > 50
    assert refused.count("421") > 30
    assert "/docs/start.js" not in web.output
    assert "101 GET" not in web.output
    assert "200 POST" not in web.output


def test_a_name_that_leads_here_gets_nothing(web: Web) -> None:
    port = urlsplit(web.url).port
    with chromium(f"http://evil.example:{port}/v1/tasks"):
        web.wait_for(r"421 GET /v1/tasks")


def test_a_page_of_an_allowed_origin_uses_tickets() -> None:
    with Site() as site:
        origin = f"http://friend.example:{site.port}"
        with Web(RINGBACK_TOKENS=f"page={TOKEN}:*", RINGBACK_CORS=origin) as web:
            site.script = FRIEND.replace("TARGET", json.dumps(web.url)).replace("TOKEN", TOKEN)
            with chromium(origin):
                heard = site.report()
            assert TOKEN not in web.output

    assert heard == {"events": 1, "socket": 3, "again": "refused", "without": 401}
