"""Results as JSON and as tables in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import redis_contenders
from benchmarks.contenders import CONTENDERS, LADDER, RELAY, Contender

HEAD = "| | requests/s | p50 ms | p95 ms | p99 ms | web CPU ms | to floor | worker | broker | web RSS MiB |"
TITLES = {
    RELAY: "`POST /` with `abcdefghi`, a task that does nothing, 100 connections",
    LADDER: '`{"job_id": n}`, a task of 100 ms, 100 connections',
}

REDIS = "Redis: the same requests with Redis as broker and for results; where RabbitMQ is named, it is the broker"
FLOORS = {  # each group's broker, and the clients that publish and consume
    redis_contenders.BOTH: ("Redis", "redis-py", "redis-py"),
    redis_contenders.RESULTS: ("RabbitMQ", "py-amqp", "redis-py"),
}

Results = dict[str, Any]


def write(results: Results, folder: Path) -> None:
    """Write the results as JSON and as tables.

    :param folder: the folder to write to, created if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(_rounded(results), indent=1) + "\n")
    (folder / "table.md").write_text(markdown(results))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(member) for key, member in value.items()}
    return [_rounded(member) for member in value] if isinstance(value, list) else value


def markdown(results: Results) -> str:
    """All tables."""
    parts = [_where(results), targets(results["targets"]), *(_group(results, group) for group in (RELAY, LADDER))]
    parts += [redis(results), _growth(results["growth"]), _left_out(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: str, rows: Iterable[str]) -> str:
    """A table in Markdown; all columns but the first are numbers."""
    return "\n".join([head, "|---|" + "--:|" * (head.count("|") - 2), *rows])


def _where(results: Results) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{results['date'][:10]}, {machine['cpu']}, {machine['cores']} cores shared by web process, worker, broker and"
        f" load, {machine['ram_mib'] / 1024:.0f} GiB; {versions}. Medians of {results['rounds']} rounds."
    )


def targets(judged: Iterable[dict[str, Any]]) -> str:
    """The table of the targets."""
    rows = []
    for target in judged:
        value = "not measured" if target["value"] is None else f"{target['value']:.4g}"
        verdict = {True: "yes", False: "**no**", None: ""}[target["passed"]]
        rows.append(
            f"| {target['name']} | {value} | {'≤' if target['at_most'] else '≥'} {target['limit']} | {verdict} |"
        )
    return table("| target | measured | limit | reached |", rows)


def redis(results: Results) -> str:
    """The table of the contenders on Redis; nothing if they were not measured."""
    part = results["redis"]
    if not part:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in part["versions"].items())
    rows = [_row({**results, **part}, contender) for contender in redis_contenders.CONTENDERS]
    floors = [
        f"Floor with {name} as broker: {_floor(part['floor'][group], *clients)}"
        for group, (name, *clients) in FLOORS.items()
        if group in part["floor"]
    ]
    spent = "A task costs the worker {ours:.3f} ms of CPU, and one with Celery's defaults {default:.3f}."
    return "\n\n".join([f"{REDIS}; {versions}", table(HEAD, rows), *floors, spent.format(**part["workers"])])


def _floor(floor: dict[str, float], publisher: str, consumer: str) -> str:
    return (
        f"{floor['total']:.3f} ms, of which bare Tornado {floor['http']:.3f}, a bare {publisher} publish"
        f" {floor['publish']:.3f}, a bare {consumer} consume {floor['consume']:.3f}."
    )


def _growth(growth: dict[str, dict[str, float]]) -> str:
    rows = [
        f"| {size} | {row['cpu']:.3f} | {row['rss_kib']:.1f} | {row['p50_over']:.3f} | {row['p99_over']:.3f} |"
        for size, row in growth.items()
    ]
    head = "| held at once, `sleep(3)` | web CPU ms | KiB each | p50 s over 3 | p99 s over 3 |"
    return table(head, rows) if rows else ""


def _left_out(results: Results) -> str:
    reasons = [f"{name} is left out: {reason}" for name, reason in results["left_out"].items()]
    return "\n".join([*reasons, *(f"Failed: {failure.splitlines()[0]}" for failure in results["failures"])])


def _group(results: Results, group: str) -> str:
    rows = [_row(results, contender) for contender in CONTENDERS if contender.group == group]
    bare = f"\n\nFloor: {_floor(results['floor'], 'py-amqp', 'py-amqp')}" if group == RELAY else ""
    return f"{TITLES[group]}\n\n{table(HEAD, rows)}{bare}"


def _row(results: Results, contender: Contender) -> str:
    label = f"**{contender.label}**" if contender.ours else contender.label
    figures = results["contenders"].get(contender.name)
    if not figures:
        return f"| {label} | {results['left_out'].get(contender.name, 'failed')} |{' |' * 8}"
    cells = [f"{figures['rate']:.0f}", *(f"{figures[name]:.1f}" for name in ("p50", "p95", "p99"))]
    cells += [f"{figures['web']:.3f}", f"{figures['to_floor']:.2f}", f"{figures['worker']:.3f}"]
    cells += [f"{figures['broker']:.3f}", f"{figures['rss']:.0f}"]
    return f"| {label} | {' | '.join(cells)} |"
