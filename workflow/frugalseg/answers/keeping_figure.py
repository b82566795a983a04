"""The trade-off of keeping one dataset and learning another, as a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from frugalseg.reporting import style
from frugalseg.reporting.formats import reach
from frugalseg.reporting.labels import box_along, box_around, place_labels
from frugalseg.study.metrics import metric_of

if TYPE_CHECKING:
    from frugalseg.answers.keeping import Arm, Found, Way

_HEIGHT = 5.0
_SMALL, _LARGE, _STAR = 3.5, 7.5, 12.0
_BEYOND = 0.05
# Black is the start's.
_BLACK = style.COLOURS[2]
_COLOURS = tuple(colour for colour in style.COLOURS if colour != _BLACK)
_FRONT = {"color": "#888888", "linestyle": style.LINES[2], "linewidth": 1.2}
_RING = 14.0
_GROUP = {
    "marker": "o",
    "markersize": _RING,
    "markerfacecolor": "none",
    "color": "#555555",
    "linestyle": "none",
    "zorder": 2,
}
# Width of the crosses, and of the strip along them that labels keep clear of.
_CROSS, _STRIP = 0.9, 3.0


@style.styled
def draw_trade_off(found: Found, block: Mapping[str, Any], sentence: str) -> Figure:
    """Draw what every candidate keeps of the source against what it learns of the target, on test images.

    A faint mark a candidate, those of an arm joined in the order of the config; of every arm the chosen one large, with its
    intervals and its name, in bold the one to take; the start as a star; the Pareto front as a dotted line; rings around those
    that tuning images do not tell apart from the best. The answer in words stands below.
    """
    figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    metric = metric_of(block["metric"]).name
    for number, arm in enumerate(found.arms):
        _draw_arm(axes, arm, number)
    _draw_way(axes, found.start, color=_BLACK, marker="*", markersize=_STAR)
    if len(found.group) > 1:
        axes.plot(*np.transpose([_point(way) for way in found.group]), **_GROUP)
    # Intervals of few seeds reach beyond any score; drawn in full they would squeeze the points together.
    for low, high, limit in ((*axes.get_xlim(), axes.set_xlim), (*axes.get_ylim(), axes.set_ylim)):
        limit(max(low, -_BEYOND), min(high, 1 + _BEYOND))
    _draw_front(axes, found)
    axes.set_title(block["title"], loc="left")
    axes.set_xlabel(f"{metric} on {block['source']}: what is kept")
    axes.set_ylabel(f"{metric} on {block['target']}: what is learnt")
    axes.grid(axis="x")
    figure.legend(
        handles=_legend(grouped=len(found.group) > 1),
        loc="outside upper center",
        ncols=5,
        columnspacing=1.2,
        handlelength=1.6,
    )
    figure.supxlabel(textwrap.fill(sentence, 125), **style.NOTE)
    # Labels are placed around what is drawn, so nothing may move any more.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    _label(axes, found)
    return figure


def _draw_front(axes: Axes, found: Found) -> None:
    """The edge of what is beaten by the start or by a chosen candidate."""
    points = np.array([_point(way) for way in found.front])
    (left, _), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    edge = np.vstack([(left, points[0, 1]), points, (points[-1, 0], bottom)])
    axes.plot(*edge.T, drawstyle="steps-pre", scalex=False, scaley=False, zorder=1, **_FRONT)


def _draw_arm(axes: Axes, arm: Arm, number: int) -> None:
    looks = _looks(number)
    points = np.array([_point(way) for way in arm.ways])
    axes.plot(*points.T, linewidth=0.6, markersize=_SMALL, alpha=0.4, zorder=2, **looks)
    _draw_way(axes, arm.chosen, markersize=_LARGE, **looks)


def _looks(number: int) -> dict[str, str]:
    """Colour and marker of an arm; together they return after 42 arms."""
    return {"color": _COLOURS[number % len(_COLOURS)], "marker": style.MARKERS[number % len(style.MARKERS)]}


def _draw_way(axes: Axes, way: Way, color: str, **looks: Any) -> None:
    axes.errorbar(
        *_point(way),
        xerr=reach(way.source),
        yerr=reach(way.target),
        color=color,
        ecolor=(color, 0.6),
        elinewidth=_CROSS,
        capsize=0,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=3,
        **looks,
    )


def _label(axes: Axes, found: Found) -> None:
    """Names beside the start and the chosen candidates, the one to take in bold."""
    ways = found.choices
    marks = [box_around(axes, _point(way), _SMALL) for way in found.ways]
    for way in ways:
        marks.append(box_around(axes, _point(way), _RING if way.near and len(found.group) > 1 else _LARGE))
        marks += _cross(axes, way)
    taken = [way is found.recommended for way in ways]
    names = [
        f"{way.candidate.arm}: take this" if take else way.candidate.arm for way, take in zip(ways, taken, strict=True)
    ]
    weights = ["bold" if take else "normal" for take in taken]
    colours = [_BLACK, *(_looks(number)["color"] for number in range(len(found.arms)))]
    points = [_point(way) for way in ways]
    place_labels(axes, points, names, marks, colours=colours, weights=weights, fontsize=7.5)


def _cross(axes: Axes, way: Way) -> list[Bbox]:
    x, y = _point(way)
    return [
        box_along(axes, (way.source.low, y), (way.source.high, y), _STRIP),
        box_along(axes, (x, way.target.low), (x, way.target.high), _STRIP),
    ]


def _point(way: Way) -> tuple[float, float]:
    return way.source.value, way.target.value


def _legend(grouped: bool) -> list[Line2D]:
    grey = {"color": "#666666", "marker": style.MARKERS[0]}
    return [
        Line2D([], [], markersize=_SMALL, linewidth=0.6, alpha=0.5, label="candidates", **grey),
        Line2D([], [], markersize=_LARGE, linewidth=_CROSS, label="chosen of an arm, 95 % interval", **grey),
        Line2D([], [], markersize=_STAR, linestyle="none", marker="*", color=_BLACK, label="the start"),
        Line2D([], [], label="Pareto front", **_FRONT),
        *([Line2D([], [], label="as good on tuning images", **_GROUP | {"markersize": 9})] if grouped else []),
    ]
