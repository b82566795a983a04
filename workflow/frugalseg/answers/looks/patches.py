"""The patches that selectors choose, side by side (the study's Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from frugalseg.answers.looks.colours import to_rgb
from frugalseg.reporting import style

# Patches along the side of a full sheet.
_SIDE = 6
# Pixels of white between patches.
_GAP = 4


@style.styled
def draw_patches(images: np.ndarray, picks: Mapping[str, np.ndarray]) -> Figure:
    """Draw a sheet of patches for each selector, from normalised patches (N, C, H, W) and title -> (K,) picks, K > 0.

    Where a selector picks more patches than a sheet holds, those shown are evenly spaced in the order of its picks.
    """
    for title, chosen in picks.items():
        if len(chosen) == 0:
            raise ValueError(f"{title}: there is no pick to draw; raise the rate")
    most = min(max(map(len, picks.values())), _SIDE * _SIDE)
    columns = int(np.ceil(np.sqrt(most)))
    rows = -(-most // columns)
    width = style.PAGE_WIDTH / max(len(picks), 2)
    figure = Figure(figsize=(width * len(picks), width * rows / columns + 0.3), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)
    for ax, (title, chosen) in zip(figure.subplots(1, len(picks), squeeze=False)[0], picks.items(), strict=True):
        shown = chosen[_evenly_spaced(len(chosen), most)]
        ax.imshow(_montage(images, shown, rows, columns), interpolation="nearest")
        count = f"{len(chosen):,} patches" if len(shown) == len(chosen) else f"{len(shown)} of {len(chosen):,} patches"
        ax.set_title(f"{title} ({count})")
        ax.set_axis_off()
    return figure


def _evenly_spaced(count: int, limit: int) -> np.ndarray:
    """Positions of at most `limit` of `count` items, the first among them."""
    return np.arange(count) if count <= limit else np.arange(limit) * count // limit


def _montage(images: np.ndarray, chosen: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Chosen patches in reading order on a white sheet."""
    height, width = images.shape[-2:]
    sheet = np.ones((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), dtype=np.float32)
    for place, index in enumerate(chosen):
        y, x = (place // columns) * (height + _GAP), (place % columns) * (width + _GAP)
        sheet[y : y + height, x : x + width] = to_rgb(images[index])
    return sheet
