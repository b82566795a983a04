"""The figure of verdicts: every claim's effect with its interval against its bound, one row a claim."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from frugalseg.reporting import style

if TYPE_CHECKING:
    from frugalseg.answers.claim import Judged


@dataclass(frozen=True)
class Look:
    """How effects of a kind of claim are drawn and written: on which axis, times what, with which unit."""

    axis: str
    scale: int = 1
    digits: int = 3
    signed: bool = True
    unit: str = ""


_DIFFERENCE = Look("Difference of the score")
#: Kind of claim -> its look. Effects of one unit and one meaning share an axis, and no others.
LOOKS = {
    "gain": _DIFFERENCE,
    "equal": _DIFFERENCE,
    "different": _DIFFERENCE,
    "loss": Look("Share of the score that is lost", 100, 1, False, " %"),
    "recovery": Look("Share of the loss that is won back", 100, 1, False, " %"),
    "asymmetry": Look("Share lost in one direction less that in the other, percentage points", 100, 1, True, " points"),
}
#: Shares are drawn no farther than this: an interval that goes on gets an arrow.
_FARTHEST_SHARE = (-0.6, 1.6)
#: Inches: a line of a claim, what a row has beside its lines, an axis with its label, and the legend.
_LINE, _GAP, _AXIS, _LEGEND = 0.125, 0.12, 0.55, 0.35
_LABEL_WIDTH, _VERDICT_WIDTH = 46, 17
_MARKERS = {"supported": style.MARKERS[0], "refuted": style.MARKERS[6], "undecided": style.MARKERS[0]}


@style.styled
def draw_verdicts(judged: Sequence[Judged]) -> Figure:
    """Draw the effects of claims with their intervals, each on the claim's side of its bound or not.

    A panel for each axis. The claim stands left of its row, the verdict in words right of it.
    """
    groups: dict[Look, list[Judged]] = {look: [] for look in LOOKS.values()}
    for item in judged:
        groups[LOOKS[item.claim["effect"]]].append(item)
    groups = {look: items for look, items in groups.items() if items}
    lines = max(len(textwrap.wrap(item.claim["text"], _LABEL_WIDTH)) for item in judged)
    height = len(judged) * (max(lines, 2) * _LINE + _GAP) + len(groups) * _AXIS + _LEGEND
    figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
    panels = figure.subplots(len(groups), 1, height_ratios=list(map(len, groups.values())), squeeze=False)[:, 0]
    for axes, (look, items) in zip(panels, groups.items(), strict=True):
        _draw_panel(axes, items)
        axes.set_xlabel(look.axis)
        if look.scale == 100:
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="" if look.signed else " %"))
    figure.legend(handles=_legend(judged), loc="outside upper center", ncols=6, handlelength=1.4, columnspacing=1.1)
    return figure


def _draw_panel(axes: Axes, items: Sequence[Judged]) -> None:
    low, high = _limits(items)
    axes.set_xlim(low, high)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.axvline(0, color="#999999", linewidth=0.7, zorder=1)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_yticks(range(len(items)), [textwrap.fill(item.claim["text"], _LABEL_WIDTH) for item in items])
    axes.tick_params(axis="y", length=0, pad=6)
    for row, item in enumerate(items):
        _draw_side(axes, item, row)
        _draw_effect(axes, item, row)
        text = textwrap.fill(item.said, _VERDICT_WIDTH)
        axes.annotate(
            text, (1, row), (5, 0), ("axes fraction", "data"), "offset points", va="center", fontweight="bold"
        )


def _draw_side(axes: Axes, item: Judged, row: int) -> None:
    """The claim's side of its bound as a band, the bound as its edge, and the published effect."""
    low, high = axes.get_xlim()
    claim = item.claim
    margin = claim.get("margin", math.inf)
    bands = {
        "at_least": [(claim.get("at_least"), high)],
        "at_most": [(low, claim.get("at_most"))],
        "equal": [(-margin, margin)],
        "different": [(low, -margin), (margin, high)],
    }
    side = next((key for key in ("at_least", "at_most") if key in claim), claim["effect"])
    for start, end in bands[side]:
        axes.fill_betweenx([row - 0.36, row + 0.36], start, end, color=style.FILLS[3], alpha=0.5, linewidth=0, zorder=0)
    for edge in _bounds(item):
        axes.vlines(edge, row - 0.36, row + 0.36, color=style.COLOURS[0], linewidth=1.2, zorder=2)
    if _shows_published(item):
        axes.vlines(item.published, row - 0.36, row + 0.36, color=style.COLOURS[4], linestyle="--", zorder=2)


def _draw_effect(axes: Axes, item: Judged, row: int) -> None:
    estimate = item.effect.estimate
    low, high = axes.get_xlim()
    if math.isnan(estimate.value):
        middle = (low + high) / 2
        axes.text(middle, row, item.effect.fault, ha="center", va="center", style="italic", zorder=4)
        return
    ends = np.clip([estimate.low, estimate.high], low, high)
    axes.hlines(row, *ends, color=style.COLOURS[2], zorder=3)
    for end, drawn, beyond in ((estimate.low, ends[0], "<"), (estimate.high, ends[1], ">")):
        marker = "|" if end == drawn else beyond
        axes.plot(drawn, row, marker=marker, color=style.COLOURS[2], linestyle="none", clip_on=False, zorder=3)
    if low <= estimate.value <= high:
        axes.plot(estimate.value, row, **_point(item.verdict), clip_on=False, zorder=4)


def _point(word: str) -> dict[str, object]:
    face = "white" if word == "undecided" else style.COLOURS[2]
    return {
        "marker": _MARKERS[word],
        "color": style.COLOURS[2],
        "markerfacecolor": face,
        "linestyle": "none",
        "markersize": 6,
    }


def _bounds(item: Judged) -> list[float]:
    margin = item.claim.get("margin")
    given = [item.claim[key] for key in ("at_least", "at_most") if key in item.claim]
    return given if margin is None else [-margin, margin]


def _shows_published(item: Judged) -> bool:
    """Whether there is a published effect, of the same metric: another one would not stand on the same axis."""
    return item.has_published and item.printed.metric == item.claim["metric"]


def _limits(items: Sequence[Judged]) -> tuple[float, float]:
    """Ends of an axis that shows every bound, effect, interval and published effect, as far as shares are drawn."""
    values = [0.0]
    for item in items:
        estimate = item.effect.estimate
        values += [estimate.value, estimate.low, estimate.high, *_bounds(item)]
        values += [item.published] if _shows_published(item) else []
    if LOOKS[items[0].claim["effect"]].scale == 100:
        values = [*np.clip(values, *_FARTHEST_SHARE), 1.0]
    finite = [value for value in values if math.isfinite(value)]
    room = 0.06 * (max(finite) - min(finite))
    return min(finite) - room, max(finite) + room


def _legend(judged: Sequence[Judged]) -> list[matplotlib.artist.Artist]:
    words = {"supported": "supported", "refuted": "refuted", "undecided": "cannot be decided"}
    present = [word for word in words if any(item.verdict == word for item in judged)]
    points = [Line2D([], [], label=words[word], **_point(word)) for word in present]
    points.append(Line2D([], [], color=style.COLOURS[2], label="95 % interval"))
    sides = [Patch(facecolor=style.FILLS[3], alpha=0.5, label="where the claim holds")]
    if any(map(_shows_published, judged)):
        sides.append(Line2D([], [], color=style.COLOURS[4], linestyle="--", label="published"))
    return [*points, *sides]
