"""The figure of an experiment: a metric over a field of its entries as curves, or entries side by side as bars."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from frugalseg.reporting import style
from frugalseg.reporting.formats import field_name, value_text
from frugalseg.reporting.layout import ALL_SEEDS, check_fields, combinations, of_metrics, of_models
from frugalseg.study.kinds.experiment import COST_FIELDS
from frugalseg.study.metrics import metric_of

_PANEL_FIELDS = ("test", "metric")
"""A panel shows one value of each of these, unless they are what the horizontal axis or the colour stands for."""
_PANELS_A_ROW = 3
_PANEL_HEIGHT = 2.2
_LEGEND_CHARACTERS = 14
"""Characters of the legend's text that an inch holds; a handle with the space around it counts as `_LEGEND_HANDLE`."""
_LEGEND_HANDLE = 9
_LOGARITHMIC_FROM = 8
"""Above this ratio of the largest to the smallest value an axis is logarithmic; that of a cost always is."""
_LEVELS = ((0, (4, 2)), (0, (4, 1.5, 1, 1.5)), (0, (1, 1.5)))
"""Lines of the words that stand among the numbers of the horizontal axis."""
_PUBLISHED_BAR = {"linestyle": "none", "marker": "D", "markersize": 4}
_PUBLISHED_BAR |= {"markerfacecolor": "white", "markeredgecolor": "black"}


@style.styled
def draw(
    table: pd.DataFrame,
    kind: str,
    x: str,
    metrics: Sequence[str],
    hue: str | Sequence[str] | None = None,
    gap: Mapping[str, Any] | None = None,
) -> Figure:
    """Draw an experiment's long table as the block ``figure`` of its config asks.

    A ``curve`` draws metrics over a numeric field, one panel a metric (and test set, where `hue` does not tell them apart). The
    axis is logarithmic where its values span enough, and where they are what networks cost; a zero then has a place of its own
    on the left. Entries with a word in `x`, such as *all* shots, are levels: horizontal dashed lines in the colour of their
    hue. Bands are the sample standard deviation over runs where every model was trained more than once (those at the ends
    of a gap need not be), else the standard error over test images; single runs are small marks. Published values are
    dashed lines with open marks.

    ``bars`` draws metrics as groups of bars, one panel a test set and metric that neither `x` nor `hue` stands for. Error bars
    are what bands are; published values are open diamonds.
    """
    kinds = {"curve": _curve, "bars": _bars}
    if kind not in kinds:
        raise ValueError(f"there is no figure of the kind {kind!r}; the kinds are {', '.join(kinds)}")
    return kinds[kind](_prepare(table, x, metrics, (hue,) if isinstance(hue, str) else tuple(hue or ()), gap))


def _curve(plot: _Plot) -> Figure:
    places = plot.overall["place"]
    if places.isna().all():
        word = plot.overall[plot.x].iloc[0]
        raise ValueError(f"a curve needs numbers to be drawn over, but the field {plot.x!r} has {word!r}")
    figure, axes = _panels(plot)
    for panel, ax in zip(plot.panels, axes, strict=True):
        for index, hue_key in enumerate(plot.hues):
            _draw_line(ax, plot, panel, hue_key, _line_style(index))
            _draw_levels(ax, plot, panel, hue_key, _line_style(index)["color"])
        _scale_x(ax, plot.x, np.unique(places.dropna().to_numpy(dtype=float)))
        ax.set_xlabel(field_name(plot.x))
    handles = [Line2D([], [], label=plot.hue_text(key), **_line_style(i)) for i, key in enumerate(plot.hues)]
    handles += [
        Line2D(
            [], [], color="#555555", label=f"{field_name(plot.x)}: {value_text(plot.x, word)}", **_level_style(index)
        )
        for index, word in enumerate(plot.words)
    ]
    published = Line2D([], [], color="#555555", linestyle="--", marker="o", markerfacecolor="white", label="published")
    _finish(figure, plot, handles, published, f"Bands: ± {plot.spread}.")
    return figure


def _bars(plot: _Plot) -> Figure:
    groups = plot.overall[plot.x].unique().tolist()
    figure, axes = _panels(plot, per_row=1)
    for panel, ax in zip(plot.panels, axes, strict=True):
        for index, hue_key in enumerate(plot.hues):
            _draw_bars(ax, plot, panel, hue_key, groups, index)
        ax.set_xticks(range(len(groups)), [textwrap.fill(value_text(plot.x, group), 15) for group in groups])
        ax.tick_params(axis="x", length=0)
        ax.set_ylim(bottom=0)
        ax.margins(x=0.01)
    handles = [Patch(label=plot.hue_text(key), **_bar_style(i)) for i, key in enumerate(plot.hues)]
    published = Line2D([], [], **_PUBLISHED_BAR, label="published")
    _finish(figure, plot, handles, published, f"Error bars: ± {plot.spread}.")
    return figure


@dataclass(frozen=True)
class _Plot:
    """Rows to draw, of single runs and over all of them, and what to draw them over.

    Both have the columns ``hue_key``, the values of the hue's fields, and ``place``, the number in `x` or NaN where it holds a
    word; `overall` has ``error``, of one kind for the whole figure, which `spread` says in words.
    """

    runs: pd.DataFrame
    overall: pd.DataFrame
    x: str
    hue: tuple[str, ...]
    spread: str

    @property
    def words(self) -> list[str]:
        """What stands among the numbers of `x` and is none."""
        return self.overall.loc[self.overall["place"].isna(), self.x].unique().tolist()

    @property
    def hues(self) -> list[tuple]:
        return combinations(self.overall, self.hue)

    @property
    def panels(self) -> list[dict[str, Any]]:
        """The fields and values that single out each panel."""
        fields = [field for field in _PANEL_FIELDS if field not in {self.x, *self.hue}]
        return [dict(zip(fields, key, strict=True)) for key in combinations(self.overall, fields)]

    def select(self, rows: pd.DataFrame, panel: Mapping[str, Any], hue: tuple) -> pd.DataFrame:
        """Those of the rows that belong to one panel and hue."""
        keep = rows["hue_key"].map(lambda key: key == hue).astype(bool)
        for field, value in panel.items():
            keep &= rows[field] == value
        return rows[keep]

    def hue_text(self, key: tuple) -> str:
        texts = (
            f"tested on {value}" if field == "test" else value_text(field, value)
            for field, value in zip(self.hue, key, strict=True)
        )
        return ", ".join(texts) or "ours"


def _prepare(
    table: pd.DataFrame, x: str, metrics: Sequence[str], hue: tuple[str, ...], gap: Mapping[str, Any] | None
) -> _Plot:
    """What the figure draws of an experiment's table; a ValueError where two entries fall on one point."""
    table = of_metrics(table, metrics)
    check_fields(table, [x, *hue], "figure is drawn by; give it one under 'fields', or draw by another")
    table = table.assign(
        hue_key=list(table[list(hue)].itertuples(index=False, name=None)) if hue else [()] * len(table),
        place=pd.to_numeric(table[x], errors="coerce"),
    )
    runs, overall = table[table["seed"] != ALL_SEEDS], table[table["seed"] == ALL_SEEDS]
    clash = overall[overall.duplicated([x, "hue_key", "test", "metric"])]
    if not clash.empty:
        raise ValueError(
            f"experiment {clash['experiment'].iloc[0]!r}: the chain {clash['chain'].iloc[0]!r} falls on the same point of the "
            f"figure as another; name a field in 'hue' that tells them apart"
        )
    overall, spread = _with_error(overall, runs, gap)
    return _Plot(runs=runs, overall=overall, x=x, hue=hue, spread=spread)


def _with_error(overall: pd.DataFrame, runs: pd.DataFrame, gap: Mapping[str, Any] | None) -> tuple[pd.DataFrame, str]:
    """Add the column ``error``, of one kind for the whole figure, and say of which."""
    repeated = overall[overall["mean"].notna() & ~_at_ends(overall, gap)]
    if len(repeated) and (repeated["n"] > 1).all():
        fewest, most = repeated["n"].min(), repeated["n"].max()
        number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        return overall.assign(error=overall["std"]), f"standard deviation over {number} runs"
    model = of_models(runs)
    errors = runs.assign(error=runs["std"] / np.sqrt(runs["n"])).groupby(model, dropna=False)["error"].mean()
    return overall.merge(errors.reset_index(), on=model), "standard error over test images"


def _at_ends(rows: pd.DataFrame, gap: Mapping[str, Any] | None) -> pd.Series:
    """Which rows are of the ends of a gap: what is drawn anew between them, such as shots, leaves nothing to draw there."""
    if gap is None:
        return pd.Series(False, index=rows.index)
    # Numbers beside words may be texts.
    ends = {value_text(gap["field"], gap[key]) for key in ("from", "to")}
    return rows[gap["field"]].map(lambda value: value_text(gap["field"], value)).isin(ends)


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
        ax.set_ylabel(metric_of(panel["metric"]).name if "metric" in panel else "Mean over test images")
        if several_tests and "test" in panel:
            ax.set_title(f"Tested on {panel['test']}", loc="left")
    return figure, list(axes[:count])


def _line_style(index: int) -> dict[str, Any]:
    looks = {"color": style.COLOURS, "marker": style.MARKERS, "linestyle": style.LINES}
    return {key: values[index % len(values)] for key, values in looks.items()}


def _level_style(index: int) -> dict[str, Any]:
    return {"linestyle": _LEVELS[index % len(_LEVELS)], "linewidth": 1.1}


def _bar_style(index: int) -> dict[str, Any]:
    looks = {"facecolor": style.FILLS, "hatch": style.HATCHES}
    return {key: values[index % len(values)] for key, values in looks.items()} | {
        "edgecolor": "black",
        "linewidth": 0.6,
    }


def _draw_line(ax: Axes, plot: _Plot, panel: dict[str, Any], hue: tuple, line: dict[str, Any]) -> None:
    points = plot.select(plot.overall, panel, hue).dropna(subset="place").sort_values("place")
    low, high = points["mean"] - points["error"], points["mean"] + points["error"]
    ax.fill_between(points["place"], low, high, color=line["color"], alpha=0.15, linewidth=0)
    ax.plot(points["place"], points["mean"], **line)
    if (points["n"] > 1).any():
        runs = plot.select(plot.runs, panel, hue)
        ax.plot(runs["place"], runs["mean"], linestyle="none", marker=".", markersize=3, color=line["color"], alpha=0.6)
    published = points.dropna(subset="published_mean")
    look = {**line, "linestyle": "--", "linewidth": 0.9, "markerfacecolor": "white", "markersize": 3.5}
    ax.plot(published["place"], published["published_mean"], **look)


def _draw_levels(ax: Axes, plot: _Plot, panel: dict[str, Any], hue: tuple, colour: str) -> None:
    """A line across the panel for every entry that has a word in place of a number."""
    levels = plot.select(plot.overall, panel, hue)
    for index, word in enumerate(plot.words):
        for mean in levels.loc[levels[plot.x] == word, "mean"].dropna():
            ax.axhline(mean, color=colour, **_level_style(index))


def _draw_bars(ax: Axes, plot: _Plot, panel: dict[str, Any], hue: tuple, groups: list, index: int) -> None:
    count = len(plot.hues)
    width = 0.8 / count
    points = plot.select(plot.overall, panel, hue)
    places = np.array([groups.index(value) for value in points[plot.x]]) + (index - (count - 1) / 2) * width
    error_kw = {"elinewidth": 0.8, "capsize": min(2.0, 12 * width)}
    ax.bar(places, points["mean"], width, yerr=points["error"].fillna(0), error_kw=error_kw, **_bar_style(index))
    ax.plot(places, points["published_mean"], **_PUBLISHED_BAR)


def _finish(figure: Figure, plot: _Plot, handles: list, published: Line2D, note: str) -> None:
    """Add the legend above the panels, where it says anything, and the note below."""
    if plot.overall["published_mean"].notna().any():
        handles = [*handles, published]
    if len(handles) > 1 or plot.hue:
        longest = max(len(handle.get_label()) for handle in handles) + _LEGEND_HANDLE
        columns = max(1, int(figure.get_figwidth() * _LEGEND_CHARACTERS / longest))
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), columns), handlelength=3)
    if plot.overall["test"].nunique() == 1:
        note = f"Test images: {plot.overall['test'].iloc[0]}. {note}"
    figure.supxlabel(note, **style.NOTE)


def _scale_x(ax: Axes, field: str, values: np.ndarray) -> None:
    """Scale and label the horizontal axis of a panel that is drawn: every value has a tick, and a label where there is room."""
    positive = values[values > 0]
    if field in COST_FIELDS:
        _scale_costs(ax, field)
        return
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
    ax.set_xticklabels([value_text(field, value) if value in shown else "" for value in values])


def _scale_costs(ax: Axes, field: str) -> None:
    """A logarithmic axis with labels at round numbers: networks of near-equal cost would crowd theirs."""
    ax.set_xscale("log")
    ax.margins(x=0.05)
    ax.autoscale_view()
    low, high = np.log10(ax.get_xlim())
    powers = np.arange(np.floor(low), np.ceil(high) + 1)
    # Where there are too few powers of ten on the axis, their multiples by 2 and 5 too.
    subs = (1.0,) if ((powers >= low) & (powers <= high)).sum() > 1 else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: value_text(field, value)))
    ax.xaxis.set_minor_locator(LogLocator(subs=np.arange(2, 10)))
    ax.xaxis.set_minor_formatter(NullFormatter())


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
