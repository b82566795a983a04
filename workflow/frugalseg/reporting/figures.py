"""Figures of an experiment's table: a metric over a rate as curves, or chains side by side as bars."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from frugalseg.reporting import style
from frugalseg.reporting.names import field_name, metric_name, value_text
from frugalseg.reporting.tables import ALL_SEEDS, combinations, of_models

#: A panel shows one value of each of these, unless they are what the horizontal axis or the colour stands for.
_PANEL_FIELDS = ("test", "metric")
_PANELS_A_ROW = 3
_PANEL_HEIGHT = 2.2
# Characters of the legend's text that an inch holds, and as how many a handle counts with the space around it.
_LEGEND_CHARACTERS = 14
_LEGEND_HANDLE = 9
# Above this ratio of the largest to the smallest value an axis is logarithmic.
_LOGARITHMIC_FROM = 8


@dataclass(frozen=True)
class _Plot:
    """Rows to draw and what to draw them over."""

    runs: pd.DataFrame
    overall: pd.DataFrame
    x: str
    hue: tuple[str, ...]
    spread: str

    @property
    def hues(self) -> list[tuple]:
        return combinations(self.overall, self.hue)

    @property
    def has_published(self) -> bool:
        return bool(self.overall["published_mean"].notna().any())

    @property
    def panels(self) -> list[dict[str, Any]]:
        """The fields and values that single out each panel."""
        fields = [field for field in _PANEL_FIELDS if field not in {self.x, *self.hue}]
        return [dict(zip(fields, key, strict=True)) for key in combinations(self.overall, fields)]

    def select(self, rows: pd.DataFrame, panel: dict[str, Any], hue: tuple) -> pd.DataFrame:
        """Those of the rows that belong to one panel and hue."""
        keep = rows["hue_key"].map(lambda key: key == hue).astype(bool)
        for field, value in panel.items():
            keep &= rows[field] == value
        return rows[keep]


def draw(
    table: pd.DataFrame, kind: str, x: str, metrics: Sequence[str], hue: str | Sequence[str] | None = None
) -> Figure:
    """Draw the figure of an experiment, as the block ``figure`` of its config asks for it.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.reporting.tables.tabulate`.
    kind : {"curve", "bars"}
        Which of :func:`curve` and :func:`bars`.
    x, metrics, hue
        As there.

    Returns
    -------
    matplotlib.figure.Figure
    """
    kinds = {"curve": curve, "bars": bars}
    if kind not in kinds:
        raise ValueError(f"there is no figure of the kind {kind!r}; the kinds are {', '.join(kinds)}")
    return kinds[kind](table, x=x, metrics=metrics, hue=hue)


@style.styled
def curve(table: pd.DataFrame, x: str, metrics: Sequence[str], hue: str | Sequence[str] | None = None) -> Figure:
    """Draw metrics over a numeric field, one panel a metric (and test set, where `hue` does not tell them apart).

    The axis of `x` is logarithmic where its values span enough; a zero then has a place of its own on the left. Bands
    are the sample standard deviation over runs where every model was trained more than once, else the standard error
    over test images; single runs are small marks. Published values are dashed lines with open marks.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.reporting.tables.tabulate`.
    x : str
        Field of the horizontal axis; its values are numbers.
    metrics : sequence of str
        Keys of the metrics to draw, in this order.
    hue : str or sequence of str, optional
        Field or fields that tell the lines apart: fields of the entries, ``chain``, ``recipe`` or ``test``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When an entry lacks a field or has no number in `x`, or two entries fall on one point.
    """
    plot = _prepare(table, x, metrics, hue)
    if not pd.api.types.is_numeric_dtype(plot.overall[x]):
        raise ValueError(f"a curve needs numbers to be drawn over, but the field {x!r} has {plot.overall[x].iloc[0]!r}")
    figure, axes = _panels(plot)
    for panel, ax in zip(plot.panels, axes, strict=True):
        for index, hue_key in enumerate(plot.hues):
            _draw_line(ax, plot, panel, hue_key, _line_style(index))
        _scale_x(ax, plot)
        ax.set_xlabel(field_name(x))
    handles = [Line2D([], [], label=_hue_text(plot, key), **_line_style(i)) for i, key in enumerate(plot.hues)]
    published = Line2D([], [], color="#555555", linestyle="--", marker="o", markerfacecolor="white", label="published")
    _finish(figure, plot, handles, published, f"Bands: ± {plot.spread}.")
    return figure


@style.styled
def bars(table: pd.DataFrame, x: str, metrics: Sequence[str], hue: str | Sequence[str] | None = None) -> Figure:
    """Draw metrics as groups of bars, one panel a test set and metric that neither `x` nor `hue` stands for.

    Error bars are what the bands of :func:`curve` are; published values are open diamonds.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.reporting.tables.tabulate`.
    x : str
        Field that makes the groups: a field of the entries, ``chain``, ``recipe``, ``test`` or ``metric``.
    metrics : sequence of str
        Keys of the metrics to draw, in this order.
    hue : str or sequence of str, optional
        Field or fields that tell the bars of a group apart.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When an entry lacks a field, or two entries fall on one bar.
    """
    plot = _prepare(table, x, metrics, hue)
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


def _prepare(table: pd.DataFrame, x: str, metrics: Sequence[str], hue: str | Sequence[str] | None) -> _Plot:
    hue = (hue,) if isinstance(hue, str) else tuple(hue or ())
    table = table[table["metric"].isin(metrics)]
    table = table.sort_values("metric", key=lambda keys: keys.map(list(metrics).index), kind="stable")
    _check_fields(table, [x, *hue])
    table = table.assign(
        hue_key=list(table[list(hue)].itertuples(index=False, name=None)) if hue else [()] * len(table)
    )
    runs, overall = table[table["seed"] != ALL_SEEDS], table[table["seed"] == ALL_SEEDS]
    clash = overall[overall.duplicated([x, "hue_key", "test", "metric"])]
    if not clash.empty:
        raise ValueError(
            f"experiment {clash['experiment'].iloc[0]!r}: the chain {clash['chain'].iloc[0]!r} falls on the same point of the "
            f"figure as another; name a field in 'hue' that tells them apart"
        )
    overall, spread = _with_error(overall, runs)
    return _Plot(runs=runs, overall=overall, x=x, hue=hue, spread=spread)


def _check_fields(table: pd.DataFrame, fields: Sequence[str]) -> None:
    for field in fields:
        lacking = table["chain"] if field not in table.columns else table.loc[table[field].isna(), "chain"]
        if len(lacking):
            raise ValueError(
                f"experiment {table['experiment'].iloc[0]!r}: the chain {lacking.iloc[0]!r} has no field {field!r}, "
                "which its figure is drawn by; give it one under 'fields', or draw by another"
            )


def _with_error(overall: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Add the column ``error``, of one kind for the whole figure, and say of which."""
    if (overall["n"] > 1).all():
        fewest, most = overall["n"].min(), overall["n"].max()
        number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        return overall.assign(error=overall["std"]), f"standard deviation over {number} runs"
    model = of_models(runs)
    errors = runs.assign(error=runs["std"] / np.sqrt(runs["n"])).groupby(model, dropna=False)["error"].mean()
    return overall.merge(errors.reset_index(), on=model), "standard error over test images"


def _panels(plot: _Plot, per_row: int = _PANELS_A_ROW) -> tuple[Figure, list[Axes]]:
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
        ax.set_ylabel(metric_name(panel["metric"]) if "metric" in panel else "Mean over test images")
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


def _draw_line(ax: Axes, plot: _Plot, panel: dict[str, Any], hue: tuple, line: dict[str, Any]) -> None:
    points = plot.select(plot.overall, panel, hue).sort_values(plot.x)
    ax.fill_between(
        points[plot.x],
        points["mean"] - points["error"],
        points["mean"] + points["error"],
        color=line["color"],
        alpha=0.15,
        linewidth=0,
    )
    ax.plot(points[plot.x], points["mean"], **line)
    if (points["n"] > 1).any():
        runs = plot.select(plot.runs, panel, hue)
        ax.plot(runs[plot.x], runs["mean"], linestyle="none", marker=".", markersize=3, color=line["color"], alpha=0.6)
    published = points.dropna(subset="published_mean")
    ax.plot(
        published[plot.x],
        published["published_mean"],
        **{**line, "linestyle": "--", "linewidth": 0.9, "markerfacecolor": "white", "markersize": 3.5},
    )


def _draw_bars(ax: Axes, plot: _Plot, panel: dict[str, Any], hue: tuple, groups: list, index: int) -> None:
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


def _scale_x(ax: Axes, plot: _Plot) -> None:
    values = np.unique(plot.overall[plot.x].to_numpy(dtype=float))
    positive = values[values > 0]
    if values[0] >= 0 and len(positive) > 1 and positive[-1] >= _LOGARITHMIC_FROM * positive[0]:
        if values[0] == 0:
            ax.set_xscale("symlog", linthresh=positive[0], linscale=0.4)
        else:
            ax.set_xscale("log")
    ax.margins(x=0.05)
    ax.autoscale_view()
    shown = list(_spaced(values, ax))
    ax.xaxis.set_major_locator(FixedLocator(values.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{value:g}" if value in shown else "" for value in values])


def _spaced(values: np.ndarray, ax: Axes) -> Iterator[float]:
    """Those values whose labels have room: the last, and from the first on each far enough from the one before."""
    to_axis = ax.transData + ax.transAxes.inverted()
    places = to_axis.transform(np.column_stack([values, np.zeros_like(values)]))[:, 0]
    room, last = 0.095, -np.inf
    for value, place in zip(values[:-1], places[:-1], strict=True):
        if place - last >= room and places[-1] - place >= room:
            last = place
            yield value
    yield values[-1]


def _hue_text(plot: _Plot, key: tuple) -> str:
    texts = (
        f"tested on {value}" if field == "test" else value_text(field, value)
        for field, value in zip(plot.hue, key, strict=True)
    )
    return ", ".join(texts) or "ours"


def _finish(figure: Figure, plot: _Plot, handles: list, published: Line2D, note: str) -> None:
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
