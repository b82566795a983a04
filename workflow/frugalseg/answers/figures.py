"""Figures of an experiment's table: a metric over a rate as curves, or chains side by side as bars."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from frugalseg.answers.plots import Plot, prepare
from frugalseg.answers.scales import scale_x
from frugalseg.reporting import style
from frugalseg.reporting.formats import field_name, value_text
from frugalseg.study.metrics import metric_of

_PANELS_A_ROW = 3
_PANEL_HEIGHT = 2.2
# Characters of the legend's text that an inch holds, and as how many a handle counts with the space around it.
_LEGEND_CHARACTERS = 14
_LEGEND_HANDLE = 9
# Lines of what stands among the numbers of the horizontal axis and is none.
_LEVELS = ((0, (4, 2)), (0, (4, 1.5, 1, 1.5)), (0, (1, 1.5)))


def draw(
    table: pd.DataFrame,
    kind: str,
    x: str,
    metrics: Sequence[str],
    hue: str | Sequence[str] | None = None,
    gap: Mapping[str, Any] | None = None,
) -> Figure:
    """Draw the figure of an experiment, as the block ``figure`` of its config asks for it.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    kind : {"curve", "bars"}
        Which of :func:`curve` and :func:`bars`.
    x, metrics, hue, gap
        As there.

    Returns
    -------
    matplotlib.figure.Figure
    """
    kinds = {"curve": curve, "bars": bars}
    if kind not in kinds:
        raise ValueError(f"there is no figure of the kind {kind!r}; the kinds are {', '.join(kinds)}")
    return kinds[kind](table, x=x, metrics=metrics, hue=hue, gap=gap)


@style.styled
def curve(
    table: pd.DataFrame,
    x: str,
    metrics: Sequence[str],
    hue: str | Sequence[str] | None = None,
    gap: Mapping[str, Any] | None = None,
) -> Figure:
    """Draw metrics over a numeric field, one panel a metric (and test set, where `hue` does not tell them apart).

    The axis of `x` is logarithmic where its values span enough, and where they are what networks cost; a zero then has a
    place of its own on the left. Entries with a word in `x`, such as *all* shots, are levels: horizontal dashed lines in the
    colour of their hue. Bands are the sample standard deviation over runs where every model was trained more than once
    (those at the ends of a gap need not be), else the standard error over test images; single runs are small marks.
    Published values are dashed lines with open marks.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    x : str
        Field of the horizontal axis; its values are numbers, or numbers and words.
    metrics : sequence of str
        Keys of the metrics to draw, in this order.
    hue : str or sequence of str, optional
        Field or fields that tell the lines apart: fields of the entries, ``chain``, ``recipe`` or ``test``.
    gap : mapping, optional
        ``gap`` of the experiment.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When an entry lacks a field or has no number in `x`, or two entries fall on one point.
    """
    plot = prepare(table, x, metrics, hue, gap)
    if plot.overall["place"].isna().all():
        raise ValueError(f"a curve needs numbers to be drawn over, but the field {x!r} has {plot.overall[x].iloc[0]!r}")
    figure, axes = _panels(plot)
    for panel, ax in zip(plot.panels, axes, strict=True):
        for index, hue_key in enumerate(plot.hues):
            _draw_line(ax, plot, panel, hue_key, _line_style(index))
            _draw_levels(ax, plot, panel, hue_key, _line_style(index)["color"])
        scale_x(ax, x, plot.overall["place"].dropna().to_numpy(dtype=float))
        ax.set_xlabel(field_name(x))
    handles = [Line2D([], [], label=_hue_text(plot, key), **_line_style(i)) for i, key in enumerate(plot.hues)]
    handles += [
        Line2D([], [], color="#555555", label=f"{field_name(x)}: {value_text(x, word)}", **_level_style(index))
        for index, word in enumerate(plot.words)
    ]
    published = Line2D([], [], color="#555555", linestyle="--", marker="o", markerfacecolor="white", label="published")
    _finish(figure, plot, handles, published, f"Bands: ± {plot.spread}.")
    return figure


@style.styled
def bars(
    table: pd.DataFrame,
    x: str,
    metrics: Sequence[str],
    hue: str | Sequence[str] | None = None,
    gap: Mapping[str, Any] | None = None,
) -> Figure:
    """Draw metrics as groups of bars, one panel a test set and metric that neither `x` nor `hue` stands for.

    Error bars are what the bands of :func:`curve` are; published values are open diamonds.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    x : str
        Field that makes the groups: a field of the entries, ``chain``, ``recipe``, ``test`` or ``metric``.
    metrics : sequence of str
        Keys of the metrics to draw, in this order.
    hue : str or sequence of str, optional
        Field or fields that tell the bars of a group apart.
    gap : mapping, optional
        ``gap`` of the experiment.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When an entry lacks a field, or two entries fall on one bar.
    """
    plot = prepare(table, x, metrics, hue, gap)
    groups = plot.overall[x].unique().tolist()
    figure, axes = _panels(plot, per_row=1)
    for panel, ax in zip(plot.panels, axes, strict=True):
        for index, hue_key in enumerate(plot.hues):
            _draw_bars(ax, plot, panel, hue_key, groups, index)
        names = [textwrap.fill(value_text(x, group), 15) for group in groups]
        ax.set_xticks(range(len(groups)), names)
        ax.tick_params(axis="x", length=0)
        ax.set_ylim(bottom=0)
        ax.margins(x=0.01)
    handles = [Patch(label=_hue_text(plot, key), **_bar_style(i)) for i, key in enumerate(plot.hues)]
    published = Line2D([], [], **_PUBLISHED_BAR, label="published")
    _finish(figure, plot, handles, published, f"Error bars: ± {plot.spread}.")
    return figure


_PUBLISHED_BAR = {
    "linestyle": "none",
    "marker": "D",
    "markersize": 4,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
}


def _panels(plot: Plot, per_row: int = _PANELS_A_ROW) -> tuple[Figure, list[Axes]]:
    """A grid of titled axes, one a panel."""
    count = len(plot.panels)
    columns = min(count, per_row)
    rows = -(-count // columns)
    width = style.PAGE_WIDTH if per_row == 1 else style.PAGE_WIDTH * max(columns, 1.7) / per_row
    figure = Figure(figsize=(width, _PANEL_HEIGHT * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.remove()
    several_tests = plot.overall["test"].nunique() > 1
    for panel, ax in zip(plot.panels, axes, strict=False):
        ax.set_ylabel(metric_of(panel["metric"]).name if "metric" in panel else "Mean over test images")
        if several_tests and "test" in panel:
            ax.set_title(f"Tested on {panel['test']}", loc="left")
    return figure, list(axes[:count])


def _line_style(index: int) -> dict[str, Any]:
    return {
        "color": style.COLOURS[index % len(style.COLOURS)],
        "marker": style.MARKERS[index % len(style.MARKERS)],
        "linestyle": style.LINES[index % len(style.LINES)],
    }


def _bar_style(index: int) -> dict[str, Any]:
    return {
        "facecolor": style.FILLS[index % len(style.FILLS)],
        "hatch": style.HATCHES[index % len(style.HATCHES)],
        "edgecolor": "black",
        "linewidth": 0.6,
    }


def _draw_line(ax: Axes, plot: Plot, panel: dict[str, Any], hue: tuple, line: dict[str, Any]) -> None:
    points = plot.select(plot.overall, panel, hue).dropna(subset="place").sort_values("place")
    ax.fill_between(
        points["place"],
        points["mean"] - points["error"],
        points["mean"] + points["error"],
        color=line["color"],
        alpha=0.15,
        linewidth=0,
    )
    ax.plot(points["place"], points["mean"], **line)
    if (points["n"] > 1).any():
        runs = plot.select(plot.runs, panel, hue)
        ax.plot(runs["place"], runs["mean"], linestyle="none", marker=".", markersize=3, color=line["color"], alpha=0.6)
    published = points.dropna(subset="published_mean")
    ax.plot(
        published["place"],
        published["published_mean"],
        **{**line, "linestyle": "--", "linewidth": 0.9, "markerfacecolor": "white", "markersize": 3.5},
    )


def _draw_levels(ax: Axes, plot: Plot, panel: dict[str, Any], hue: tuple, colour: str) -> None:
    """A line across the panel for every entry that has a word in place of a number."""
    levels = plot.select(plot.overall, panel, hue)
    for index, word in enumerate(plot.words):
        for mean in levels.loc[levels[plot.x] == word, "mean"].dropna():
            ax.axhline(mean, color=colour, **_level_style(index))


def _level_style(index: int) -> dict[str, Any]:
    return {"linestyle": _LEVELS[index % len(_LEVELS)], "linewidth": 1.1}


def _draw_bars(ax: Axes, plot: Plot, panel: dict[str, Any], hue: tuple, groups: list, index: int) -> None:
    count = len(plot.hues)
    width = 0.8 / count
    points = plot.select(plot.overall, panel, hue)
    places = np.array([groups.index(value) for value in points[plot.x]]) + (index - (count - 1) / 2) * width
    ax.bar(
        places,
        points["mean"],
        width=width,
        yerr=points["error"].fillna(0),
        error_kw={"elinewidth": 0.8, "capsize": min(2.0, 12 * width)},
        **_bar_style(index),
    )
    ax.plot(places, points["published_mean"], **_PUBLISHED_BAR)


def _hue_text(plot: Plot, key: tuple) -> str:
    texts = (
        f"tested on {value}" if field == "test" else value_text(field, value)
        for field, value in zip(plot.hue, key, strict=True)
    )
    return ", ".join(texts) or "ours"


def _finish(figure: Figure, plot: Plot, handles: list, published: Line2D, note: str) -> None:
    """Add the legend above the panels, where it says anything, and the note below."""
    if plot.has_published:
        handles = [*handles, published]
    if len(handles) > 1 or plot.hue:
        longest = max(len(handle.get_label()) for handle in handles) + _LEGEND_HANDLE
        columns = max(1, int(figure.get_figwidth() * _LEGEND_CHARACTERS / longest))
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), columns), handlelength=3)
    if plot.overall["test"].nunique() == 1:
        note = f"Test images: {plot.overall['test'].iloc[0]}. {note}"
    figure.supxlabel(note, **style.NOTE)
