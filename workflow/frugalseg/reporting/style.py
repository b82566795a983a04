"""How all figures look, and how they are written: readable without colour, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from frugalseg.runtime.files import replacing

#: Okabe and Ito's colours that read without full colour vision, ordered so that neighbours differ in lightness too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: None of them is the plain dashed line, which is kept for published values.
LINES = ("-", (0, (7, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (7, 1.5, 1, 1.5, 1, 1.5)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "---", "ooo", "+++")
#: Fills of bars: light enough that a black hatch shows on them, and spread in lightness.
FILLS = ("#0072B2", "#F7D08A", "#FFFFFF", "#9AD1F2", "#D55E00", "#7FCEB9", "#EBC9DB", "#999999")

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "savefig.dpi": 150,
    # Without a salt of its own an SVG gets new random ids each time it is written.
    "svg.hashsalt": "frugalseg",
}
#: Text of the notes below figures.
NOTE = {"fontsize": 7, "color": "#444444"}
#: Width of a text column pair in inches.
PAGE_WIDTH = 7.2

_METADATA = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}

styled = matplotlib.rc_context(STYLE)


def save(figure: matplotlib.figure.Figure, *paths: str | Path) -> None:
    """Write a figure to files that end in .png or .svg, without dates and random ids: the same figure gives the same bytes."""
    for path in map(Path, paths):
        if path.suffix not in _METADATA:
            raise ValueError(f"{path}: figures are written as .png or .svg")
        with replacing(path) as partial, matplotlib.rc_context(STYLE):
            figure.savefig(partial, format=path.suffix[1:], metadata=_METADATA[path.suffix])
