"""How RINGBACK_TOKENS and the tokens file are read: what they allow, and what they refuse to guess."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.errors import BadSetting, Unauthorized
from ringback.settings import SCOPES, Settings, read
from ringback.web import ANYBODY, Caller, Tokens
from ringback.web.access import tenant_of

ALL = frozenset(SCOPES)
LONG = "0123456789abcdef"


def tokens(text: str, now: float = 0.0) -> Tokens:
    return Tokens(read({"RINGBACK_TOKENS": text}), clock=lambda: now)


def ask(access: Tokens, token: str) -> Caller:
    return access.caller(f"Bearer {token}")


@pytest.mark.parametrize(
    ("text", "token", "caller"),
    [
        ("web=t:add", "t", Caller("web", ("add",))),
        ("web=t:add,task.*", "t", Caller("web", ("add", "task.*"))),
        ("web=t,u:*", "u", Caller("web")),
        ("web=t", "t", Caller("web")),
        ("web=t== ops=u", "t==", Caller("web")),
        ("web=t@read,call:add", "t", Caller("web", ("add",), frozenset({"read", "call"}))),
        ("web=t:* prometheus=u@metrics", "u", Caller("prometheus", ("*",), frozenset({"metrics"}))),
        (f"web=sha256-{hashlib.sha256(b't').hexdigest()}:*", "t", Caller("web")),
        ("web=t;2027-01-31,u:*", "t", Caller("web")),
        # As it was before callers had names.
        ("t", "t", Caller(hashlib.sha256(b"t").hexdigest()[:16])),
        ("t:add,task.* u:*", "t", Caller(hashlib.sha256(b"t").hexdigest()[:16], ("add", "task.*"))),
        ("t u", "u", Caller(hashlib.sha256(b"u").hexdigest()[:16])),
    ],
)
def test_a_token_is_its_callers(text: str, token: str, caller: Caller) -> None:
    assert ask(tokens(text), token) == caller


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t:add, echo", "pattern is empty"),
        ("t:add echo", "entry 2 names no tasks"),
        ("web=t:", "pattern is empty"),
        ("web=t:add,", "pattern is empty"),
        ("web=t:,add", "pattern is empty"),
        ("web=:add", "is the variable that holds it set"),
        ("web=", "is the variable that holds it set"),
        (":add", "expected name=token"),
        ("t,u:*", "name=token,token"),
        ("web=t,:*", "a token has letters"),
        ("web=t:add web=u:echo", "is there already"),
        ("web=t:add ops=t:*", "is there already"),
        ("web=t,t:*", "the same token twice"),
        ("web=t@:add", "scopes"),
        ("web=t@write:add", "scopes"),
        ("web=t;tomorrow:add", "2027-01-31"),
        ("web=t;2027-02-30:add", "2027-01-31"),
        ("we b=t:a;b", "entry 1"),
        ("with space:a b;c", "entry 1"),
    ],
)
def test_what_could_mean_more_than_its_writer_had_in_mind_stops_the_start(text: str, said: str) -> None:
    with pytest.raises(BadSetting, match="RINGBACK_TOKENS") as raised:
        read({"RINGBACK_TOKENS": text})

    assert said in str(raised.value)


@pytest.mark.parametrize("broken", ["web={}:a,", "web={}@x:a", "{},{}:*", "web={};x:*", "web={0},{0}:*", "web={}:* {}"])
def test_no_message_repeats_a_token(broken: str) -> None:
    with pytest.raises(BadSetting) as raised:
        read({"RINGBACK_TOKENS": broken.format(LONG, LONG)})

    assert LONG not in str(raised.value)


@given(st.text(st.sampled_from("ab=,:;@* -\n"), max_size=20))
def test_no_text_makes_a_token_for_more_than_it_says(text: str) -> None:
    try:
        grants = read({"RINGBACK_TOKENS": text}).grants()
    except BadSetting:
        return
    unlimited = sum(grant.patterns == ("*",) for grant in grants.values())
    entries = text.split()
    assert unlimited <= sum(1 + entry.count(",") for entry in entries if ":" not in entry or ":*" in entry)
    assert not any(":" in entry for entry in entries) or all(
        ":" in entry for entry in entries if "@" not in entry or "call" in entry
    )


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer other", f"Basic {LONG}", LONG])
def test_other_credentials_prove_nobody(authorization: str | None) -> None:
    with pytest.raises(Unauthorized):
        tokens(f"web={LONG}").caller(authorization)


def test_a_token_is_valid_until_the_end_of_its_last_day() -> None:
    text, midnight = "web=t;2026-11-25,u:*", 1795651200.0

    assert ask(tokens(text, midnight - 1), "t").name == "web"
    with pytest.raises(Unauthorized):
        ask(tokens(text, midnight), "t")
    assert ask(tokens(text, midnight), "u").name == "web"


def test_without_tokens_everybody_is_the_same_caller() -> None:
    assert Tokens(read({})).caller(None) is ANYBODY
    assert not Tokens(read({})).is_guarded


# -- the file


def test_the_file_adds_callers(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who may call\nweb=t:add  # the site\n\nops=u@operate:*\n")
    access = Tokens(read({"RINGBACK_TOKENS": "x=y:*", "RINGBACK_TOKENS_FILE": str(file)}))

    assert [ask(access, token).name for token in "tuy"] == ["web", "ops", "x"]


def test_the_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("web=t:add")
    access = Tokens(Settings(tokens_file=str(file)))
    before = ask(access, "t")

    file.write_text("web=u:add")
    access.reload()

    assert ask(access, "u") == before
    with pytest.raises(Unauthorized):
        ask(access, "t")


@pytest.mark.parametrize("broken", ["", "# nothing\n", "web=t:add,", "x=y:*", "z=t:*", b"\xff"])
def test_a_file_that_cannot_be_used_leaves_the_tokens_as_they_were(tmp_path: Path, broken: str | bytes) -> None:
    file = tmp_path / "tokens"
    file.write_text("web=u:add")
    access = Tokens(read({"RINGBACK_TOKENS": "x=t:*", "RINGBACK_TOKENS_FILE": str(file)}))

    file.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    with pytest.raises(BadSetting):
        access.reload()

    assert ask(access, "u").name == "web"


@pytest.mark.parametrize("path", ["/nowhere/tokens", "/"])
def test_a_file_that_cannot_be_read_stops_the_start(path: str) -> None:
    with pytest.raises(BadSetting, match="RINGBACK_TOKENS_FILE"):
        read({"RINGBACK_TOKENS_FILE": path})


def test_a_caller_has_the_weight_that_is_set_for_it() -> None:
    given = {"RINGBACK_TOKENS": "web=aaaa batch=bbbb", "RINGBACK_WEIGHTS": "web:5"}
    access = Tokens(read(given))

    assert access.caller("Bearer aaaa").weight == 5
    assert access.caller("Bearer bbbb").weight == 1


@pytest.mark.parametrize("wrong", ["web", "web:", "web:0", "web:-1", "web:many", ":5", "wbe:5", "web:inf"])
def test_a_weight_that_cannot_be_used_stops_the_start(wrong: str) -> None:
    with pytest.raises(BadSetting, match="RINGBACK_WEIGHTS"):
        read({"RINGBACK_TOKENS": "web=aaaa", "RINGBACK_WEIGHTS": wrong})


def test_what_takes_a_share_is_the_caller_or_else_the_address() -> None:
    caller = Caller("web", weight=2.0)

    assert tenant_of(caller, "192.0.2.1") is tenant_of(caller, "192.0.2.2")
    assert tenant_of(caller, "").weight == 2
    assert tenant_of(ANYBODY, "192.0.2.1") != tenant_of(ANYBODY, "192.0.2.2")
    assert tenant_of(ANYBODY, "2001:db8::1") == tenant_of(ANYBODY, "2001:db8::2")  # one client's network


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_caller_of_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=r"'web': weight .* is not above 0"):
        Caller("web", weight=weight)
