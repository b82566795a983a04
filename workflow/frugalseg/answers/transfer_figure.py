"""The figure of transfer matrices: a heat map a chain, which reads in grey too."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from frugalseg.answers.transfer_data import path_name, row_names
from frugalseg.reporting import style
from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.transfer import ChainScores, Transfer
from frugalseg.study.metrics import metric_of

_PANELS_A_ROW = 3
_ROW_HEIGHT = 0.38
# Above and below the cells of a panel, for its title, its axis and its sums; and for the note, in inches.
_PANEL_MARGIN, _NOTE_HEIGHT = 1.15, 0.45
# Lightness falls evenly with the score.
_COLOURS = "Blues"
# Of the scale, from which on a cell is dark enough for white letters.
_DARK = 0.55


@style.styled
def draw_transfer(
    block: Mapping[str, Any], paths: Mapping[str, ChainScores], found: Mapping[str, Transfer], sentence: str
) -> Figure:
    """Draw the transfer matrix of every chain.

    Parameters
    ----------
    block : mapping
        Of ``transfers`` in the config.
    paths, found : mapping
        Chain -> scores, and what is said of them.
    sentence : str
        The answer in words, to stand below.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a chain: rows after what, columns test images of which dataset. Cells of learned datasets are framed.
    """
    columns = min(_PANELS_A_ROW, len(found))
    lines = math.ceil(len(found) / columns)
    rows = max(path.stages for path in paths.values()) + 1
    height = lines * (rows * _ROW_HEIGHT + _PANEL_MARGIN) + _NOTE_HEIGHT
    figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    highest = max(estimate.value for each in found.values() for cells in each.matrix.values() for estimate in cells)
    image = None
    for axes, (chain, path) in zip(panels, paths.items(), strict=False):
        image = _draw_matrix(axes, row_names(block, chain), path, found[chain], highest or 1.0)
        axes.set_title(textwrap.fill(path_name(block, chain), 28), loc="left")
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    bar = figure.colorbar(image, ax=panels.tolist(), shrink=0.7, aspect=25)
    bar.set_label(metric_of(block["metric"]).name)
    bar.outline.set_visible(False)
    figure.supxlabel(textwrap.fill(sentence, 125), **style.NOTE)
    return figure


def _draw_matrix(axes: Axes, names: list[str], path: ChainScores, found: Transfer, highest: float) -> AxesImage:
    values = np.array([[estimate.value for estimate in cells] for cells in found.matrix.values()]).T
    image = axes.imshow(values, cmap=_COLOURS, vmin=0, vmax=highest, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > _DARK * highest else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    for column, row in enumerate(path.learned[test] for test in found.matrix):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(
            Rectangle(
                corner, 1, len(values) - row, fill=False, edgecolor="black", linewidth=1.2, clip_on=False, zorder=3
            )
        )
    axes.set_xticks(range(len(found.matrix)), list(found.matrix))
    axes.set_yticks(range(len(names)), [name.replace("+", "\n+ ") for name in names])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("after")
    # To the right, so that it grows over the room of the row's names and not into the neighbour.
    sums = f"tested on\nbackward {_signed(found.backward)}\nforward {_signed(found.forward)}"
    axes.set_xlabel(sums, loc="right", fontsize=7)
    return image


def _signed(estimate: Estimate) -> str:
    # What rounds to nothing has no sign.
    ends = (round(end, 2) for end in (estimate.value, estimate.low, estimate.high))
    value, low, high = (f"{end:+.2f}" if end else "0.00" for end in ends)
    return f"{value} ({low} to {high})".replace("-", "\N{MINUS SIGN}")
