"""The results as a table in Markdown, and as charts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import pyplot, rc_context

from benchmarks import cpu
from benchmarks.charts import OTHERS, OURS, STYLE, save
from benchmarks.contenders import Contender
from benchmarks.overload.cases import PATIENCE, Case
from benchmarks.overload.load import Answered

#: Seconds until the figures count.
SETTLED = 10

HEAD = "| case | who | tasks/s | answered in time, of that | too late | refused | p50 s | p99 s | refusals' p99 ms |"

BESIDE = "| case | answered in time | p50 ms alone | p50 ms | p99 ms alone | p99 ms |"


@dataclass(frozen=True)
class Row:
    """What came of one case."""

    case: Case
    who: Contender
    seconds: float
    capacity: float  #: tasks a second that are done for clients that wait for each other
    answers: list[Answered]
    alone: list[Answered]  #: of the other client, before the first one came
    depths: list[int]  #: of the queues, in each second

    def goodput(self, begin: float, end: float) -> float:
        """Answers in time from one moment to another, by the capacity."""
        count = sum(answer.in_time and begin <= answer.at < end for answer in self.answers)
        return count / (end - begin) / self.capacity


def line(row: Row) -> str:
    """One line of the table."""
    later = [answer for answer in row.answers if answer.due >= SETTLED and not answer.beside]
    good = [answer.took for answer in later if answer.in_time]
    refused = [answer.took * 1000 for answer in later if answer.status in (429, 503)]
    late = len(later) - len(good) - len(refused)
    figures = [
        f"{row.capacity:.0f}",
        f"{row.goodput(SETTLED, row.seconds):.0%}",
        f"{late / max(1, len(later)):.0%}",
        f"{len(refused) / max(1, len(later)):.0%}",
        f"{statistics.median(good):.1f}" if good else "",
        f"{_p99(good):.1f}" if good else "",
        f"{_p99(refused):.0f}" if refused else "",
    ]
    return "| " + " | ".join([row.case.name, row.who.label, *figures]) + " |"


def line_beside(row: Row) -> str:
    """One line of the table of those that offer a tenth: beside another, and alone."""
    later = [answer for answer in row.answers if answer.due >= SETTLED and answer.beside]
    good = [answer.took for answer in later if answer.in_time]
    alone = [answer.took for answer in row.alone if answer.in_time]
    figures = [f"{len(good) / len(later):.1%}", *(f"{statistics.median(times) * 1000:.0f}" for times in (alone, good))]
    figures += [f"{_p99(times) * 1000:.0f}" for times in (alone, good)]
    return "| " + " | ".join([row.case.name, *figures]) + " |"


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write the table, and the chart of the first case, into a folder, which is created if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    waits = f"clients wait for {PATIENCE:g} s"
    about = f"{cpu.model()}, two cores for all; {waits}; figures from second {SETTLED} on."
    table = "\n".join([about, "", HEAD, "|---|---|--:|--:|--:|--:|--:|--:|--:|", *map(line, rows)])
    if beside := [row for row in rows if row.case.beside]:
        lines = ["", "", "The other client:", "", BESIDE, "|---|--:|--:|--:|--:|--:|", *map(line_beside, beside)]
        table += "\n".join(lines)
    (folder / "overload.md").write_text(table + "\n")
    with rc_context(STYLE):
        _draw([row for row in rows if row.case is rows[0].case], folder / "overload.svg")


def _draw(rows: list[Row], path: Path) -> None:
    _, (answered, queued) = pyplot.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
    for row, style in zip(rows, ("-", "--", ":"), strict=False):
        look = {"color": OURS if row.who.ours else OTHERS, "label": row.who.label}
        moments = range(0, int(row.seconds), 2)
        answered.plot(moments, [row.goodput(moment, moment + 2) for moment in moments], style, **look)
        queued.plot(range(len(row.depths)), row.depths, style, **look)
    answered.set_ylim(0, 1.1)
    answered.set_ylabel("in time, of capacity")
    queued.set_ylabel("messages in the broker")
    queued.legend(frameon=False, labelcolor=STYLE["text.color"])
    for axes in (answered, queued):
        axes.set_xlabel(f"seconds at twice the capacity: {rows[0].case.name}", fontsize=8)
    save(path)
