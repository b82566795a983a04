"""The figure of a learning curve: what was measured, the curve through it, and what twice the data would bring."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from frugalseg.reporting import style
from frugalseg.reporting.formats import reach
from frugalseg.statistics.learning_curve import Forecast
from frugalseg.study.metrics import metric_of

if TYPE_CHECKING:
    from frugalseg.answers.learning_curve import Found

_HEIGHT = 3.1
_LABELS = {"images": "Annotated images", "instances": "Annotated cells"}


@style.styled
def draw_learning_curve(found: Found, block: Mapping[str, Any], sentence: str) -> Figure:
    """Draw a learning curve over images, and beside it over cells; the answer in words stands below."""
    figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(found.forecasts), sharey=True)
    for axes, (unit, foreseen) in zip(panels, found.forecasts.items(), strict=True):
        _draw_foreseen(axes, foreseen, unit)
        _draw_measured(axes, found, unit)
        axes.set_xscale("log")
        amounts = found.measured.amounts[unit].to_numpy()
        axes.set_xlim(amounts[0] / 1.3, 2 * amounts[-1] * 1.3)
        _tick(axes, np.append(amounts, 2 * amounts[-1]))
        axes.set_xlabel(_LABELS[unit])
    panels[0].set_ylabel(metric_of(block["metric"]).name)
    panels[0].set_title(block["title"], loc="left")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    figure.supxlabel(textwrap.fill(sentence, 125), **style.NOTE)
    return figure


def _draw_measured(axes: Axes, found: Found, unit: str) -> None:
    amounts = found.measured.amounts[unit].to_numpy()
    runs = found.measured.scores.mean(axis=2)
    axes.plot(
        amounts,
        runs,
        linestyle="none",
        marker="_",
        color=style.COLOURS[5],
        markersize=7,
        label=["one seed", *[None] * (runs.shape[1] - 1)],
    )
    axes.errorbar(
        amounts,
        [score.value for score in found.scores],
        yerr=np.hstack([reach(score) for score in found.scores]),
        linestyle="none",
        color=style.COLOURS[2],
        marker=style.MARKERS[0],
        capsize=2,
        label="mean, 95 % interval",
    )


def _draw_foreseen(axes: Axes, foreseen: Forecast, unit: str) -> None:
    doubling = foreseen.doubling
    seen = foreseen.grid <= doubling.amount
    axes.fill_between(foreseen.grid, foreseen.low, foreseen.high, color=style.FILLS[3], alpha=0.5, linewidth=0)
    axes.plot(foreseen.grid[seen], foreseen.curve[seen], color=style.COLOURS[0], label="weighed curves")
    axes.plot(foreseen.grid[~seen], foreseen.curve[~seen], color=style.COLOURS[0], linestyle=style.LINES[2])
    axes.errorbar(
        [2 * doubling.amount],
        [doubling.score.value],
        yerr=reach(doubling.score),
        linestyle="none",
        color=style.COLOURS[4],
        marker=style.MARKERS[3],
        markerfacecolor="white",
        capsize=2,
        label="next doubling",
    )
    if foreseen.outlook == "enough" and not math.isinf(foreseen.enough.high):
        axes.axvspan(foreseen.enough.low, foreseen.enough.high, color=style.FILLS[1], alpha=0.5, linewidth=0)
        axes.axvline(foreseen.enough.value, color=style.COLOURS[1], linestyle=style.LINES[1], label="enough from here")


def _tick(axes: Axes, amounts: np.ndarray) -> None:
    """Ticks at the amounts themselves, but for those that would stand on their neighbour's label."""
    apart = (amounts[-1] / amounts[0]) ** 0.09
    kept = [amounts[-1]]
    for amount in amounts[-2::-1]:
        if kept[-1] / amount > apart:
            kept.append(amount)
    axes.set_xticks(kept, [_count(amount) for amount in kept])
    axes.minorticks_off()


def _count(amount: float) -> str:
    if amount >= 10_000:
        return f"{amount / 1000:.3g}k"
    return f"{amount:,.0f}" if amount >= 9.5 else f"{amount:.2g}"
