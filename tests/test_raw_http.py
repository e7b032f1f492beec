"""No bytes cause an error of ours, let anybody in, or stay in memory. ``make fuzz`` tries more of them."""

from __future__ import annotations

import pytest

from client import get
from raw_http import TOKEN, Fuzzer
from stack import Web

#: How often, each time on a new connection; the first ones fill what has a fixed size.
FIRST, THEN = 1000, 9000


@pytest.mark.parametrize("guarded", [False, True], ids=["without tokens", "with tokens"])
def test_no_bytes_harm_a_process_or_let_anybody_in(guarded: bool) -> None:
    variables = {"RINGBACK_TOKENS": f"me={TOKEN}:*"} if guarded else {}
    with Web(script="app.py", RINGBACK_DEADLINE="0.2", **variables) as web:
        fuzzer = Fuzzer(web.url, seed=12, guarded=guarded)
        fuzzer.send(FIRST)
        before = web.rss()
        fuzzer.send(THEN)

        assert fuzzer.wrong == []
        assert web.rss() - before < 8 * 2**20
        assert get(f"{web.url}", "/livez").status == 200
        assert "Traceback" not in web.output
