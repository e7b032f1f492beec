"""Which runs are kept."""

from __future__ import annotations

from ringback.runs.retention import Retention


def test_what_is_too_old_goes() -> None:
    now = 0.0
    archive = Retention(keep=10, max_bytes=1000, clock=lambda: now)
    archive.add("first", 1)
    now = 5
    archive.add("second", 1)

    now = 10
    assert list(archive.overdue()) == ["first"]
    now = 15
    assert list(archive.overdue()) == ["second"]
    assert list(archive.overdue()) == []


def test_the_oldest_go_when_memory_is_over() -> None:
    archive = Retention(keep=10, max_bytes=100, clock=lambda: 0.0)
    for number in range(3):
        archive.add(str(number), 40)

    assert list(archive.overdue()) == ["0"]
    archive.add("huge", 500)
    assert list(archive.overdue()) == ["1", "2", "huge"]
