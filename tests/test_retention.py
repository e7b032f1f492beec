"""Runs are kept until they are too old, or take too much memory."""

from __future__ import annotations

from ringback.runs.retention import Retention


def test_runs_that_are_too_old_go() -> None:
    now = 0.0
    retention = Retention(keep=10, max_bytes=1000, clock=lambda: now)
    retention.add("first", 1)
    now = 5
    retention.add("second", 1)

    now = 10
    assert list(retention.overdue()) == ["first"]
    now = 15
    assert list(retention.overdue()) == ["second"]
    assert list(retention.overdue()) == []


def test_the_oldest_runs_go_when_memory_is_over() -> None:
    retention = Retention(keep=10, max_bytes=100, clock=lambda: 0.0)
    for number in range(3):
        retention.add(str(number), 40)

    assert list(retention.overdue()) == ["0"]
    retention.add("huge", 500)
    assert list(retention.overdue()) == ["1", "2", "huge"]
