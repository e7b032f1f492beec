"""Charts of the results as SVG, legible on a light and on a dark page, the same bytes for the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.contenders import CONTENDERS, LADDER, RELAY, Contender

INK = "#808080"  # grey enough for both pages
OURS, OTHERS, FLOOR = "#2f9e63", "#9aa5b1", "#d9480f"
STYLE = {
    "svg.hashsalt": "ringback",
    "svg.fonttype": "path",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}

Results = dict[str, Any]


def draw(results: Results, folder: Path) -> None:
    """Write all charts."""
    with matplotlib.rc_context(STYLE):
        _bars(results, RELAY, "rate", "requests a second, 100 connections", folder / "throughput.svg")
        _bars(results, LADDER, "rate", "jobs of 100 ms a second, 100 connections", folder / "ladder.svg")
        _bars(results, RELAY, "web", "CPU of the web process, ms a request", folder / "cpu.svg", floor=True)
        if results["growth"]:
            _growth(results["growth"], folder / "growth.svg")


def _bars(results: Results, group: str, figure: str, label: str, path: Path, floor: bool = False) -> None:
    who = [item for item in CONTENDERS if item.group == group and item.name in results["contenders"]]
    who.sort(key=lambda item: results["contenders"][item.name][figure], reverse=floor)
    if not who:
        return
    _, axes = pyplot.subplots(figsize=(8, 0.6 + 0.36 * len(who)))
    values = [results["contenders"][item.name][figure] for item in who]
    _fill(axes, who, values, "{:.2f}" if floor else "{:.0f}")
    if floor:
        axes.axvline(results["floor"]["total"], color=FLOOR, linestyle="--", label="floor: bare Tornado, bare py-amqp")
        axes.legend(frameon=False, loc="upper right", labelcolor=INK)
    axes.set_xlabel(label)
    save(path)


def _fill(axes: Axes, who: list[Contender], values: list[float], form: str) -> None:
    bars = axes.barh([item.label for item in who], values, color=[OURS if item.ours else OTHERS for item in who])
    axes.bar_label(bars, labels=[form.format(value) for value in values], padding=4)
    axes.tick_params(left=False)
    axes.margins(x=0.1)


def _growth(growth: dict[str, dict[str, float]], path: Path) -> None:
    panels = {"cpu": "CPU, ms a request", "rss_kib": "memory, KiB a held request", "p99_over": "p99 over 3 s, in s"}
    _, all_axes = pyplot.subplots(1, len(panels), figsize=(10, 2.6), layout="constrained")
    for axes, (figure, label) in zip(all_axes, panels.items(), strict=True):
        axes.plot([int(size) for size in growth], [row[figure] for row in growth.values()], "o-", color=OURS)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_title(label, fontsize=10)
        axes.set_xlabel("held at once")
    save(path)


def save(path: Path) -> None:
    """Write the figure that is being drawn."""
    pyplot.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    pyplot.close()
