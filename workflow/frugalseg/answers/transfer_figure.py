"""The figure of transfer matrices: a heat map a chain, which reads in grey too."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from frugalseg.reporting import style
from frugalseg.reporting.formats import score
from frugalseg.statistics.intervals import Estimate
from frugalseg.study.metrics import metric_of

if TYPE_CHECKING:
    from frugalseg.answers.transfer import Followed

_PANELS_A_ROW = 3
_ROW_HEIGHT = 0.38
# Above and below the cells of a panel, for its title, its axis and its sums; and for the note, in inches.
_PANEL_MARGIN, _NOTE_HEIGHT = 1.15, 0.45
# Lightness falls evenly with the score.
_COLOURS = "Blues"
# Of the scale, from which on a cell is dark enough for white letters.
_DARK = 0.55


@style.styled
def draw_transfer(block: Mapping[str, Any], paths: Sequence[Followed], sentence: str) -> Figure:
    """Draw the transfer matrix of every chain in a panel of its own, with the answer in words below.

    Rows are after what, columns test images of which dataset. Cells of learned datasets are framed.
    """
    columns = min(_PANELS_A_ROW, len(paths))
    lines = math.ceil(len(paths) / columns)
    rows = max(len(path.rows) for path in paths)
    height = lines * (rows * _ROW_HEIGHT + _PANEL_MARGIN) + _NOTE_HEIGHT
    figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    highest = max(cell.value for path in paths for cells in path.found.matrix.values() for cell in cells)
    image = None
    for axes, path in zip(panels, paths, strict=False):
        image = _draw_matrix(axes, path, highest or 1.0)
        axes.set_title(textwrap.fill(path.name, 28), loc="left")
    for axes in panels[len(paths) :]:
        axes.set_axis_off()
    bar = figure.colorbar(image, ax=panels.tolist(), shrink=0.7, aspect=25)
    bar.set_label(metric_of(block["metric"]).name)
    bar.outline.set_visible(False)
    figure.supxlabel(textwrap.fill(sentence, 125), **style.NOTE)
    return figure


def _draw_matrix(axes: Axes, path: Followed, highest: float) -> AxesImage:
    found = path.found
    values = np.array([[estimate.value for estimate in cells] for cells in found.matrix.values()]).T
    image = axes.imshow(values, cmap=_COLOURS, vmin=0, vmax=highest, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > _DARK * highest else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    for column, row in enumerate(path.scores.learned[test] for test in found.matrix):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(
            Rectangle(
                corner, 1, len(values) - row, fill=False, edgecolor="black", linewidth=1.2, clip_on=False, zorder=3
            )
        )
    axes.set_xticks(range(len(found.matrix)), list(found.matrix))
    axes.set_yticks(range(len(path.rows)), [name.replace("+", "\n+ ") for name in path.rows])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("after")
    # To the right, so that it grows over the room of the row's names and not into the neighbour.
    sums = f"tested on\nbackward {_signed(found.backward)}\nforward {_signed(found.forward)}"
    axes.set_xlabel(sums, loc="right", fontsize=7)
    return image


def _signed(estimate: Estimate) -> str:
    value, low, high = (score(end, 2, sign=True) for end in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"
