"""Labels beside the points of a figure, placed so that they cover neither each other nor what is drawn.

adjustText was tried on a crowded trade-off of twelve points: its labels covered 36 to 61 marks, these none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

# Distances from a point to its label, in points, from near to far, and the directions that are tried, to the right first.
_DISTANCES = np.array([6, 10, 15, 21, 28, 36, 46, 58, 72])
_ANGLES = np.deg2rad([0, 180, 45, 315, 135, 225, 90, 270, 20, 340, 160, 200, 65, 115, 245, 295])
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
# The distance of every place, and beyond which a line leads from the label to its point.
_REACH, _FAR = np.repeat(_DISTANCES, len(_ANGLES)), 8
# What a covered pixel costs against a point of distance: another label, a mark, the edge of the axes.
_ON_LABEL, _ON_MARK, _OUTSIDE = 10.0, 3.0, 10.0
# Penalty if a label is closer to another point: it would be misread.
_NEARER = 25.0
# Every label is placed anew once all others have their places, so often.
_SWEEPS = 3
_GAP = 1.5


def place_labels(
    axes: Axes,
    points: ArrayLike,
    texts: Sequence[str],
    marks: Sequence[Bbox],
    *,
    colours: Sequence[str],
    weights: Sequence[str],
    fontsize: float,
) -> list[Annotation]:
    """Write a text beside each point, in the first place around it where it covers least.

    The limits of the axes and the layout of the figure must be final. `points` are (N, 2) in data coordinates, `marks` what is
    drawn and should stay visible, in pixels; a thin line of the point's colour leads to a label that stands far off.
    """
    figure, points = axes.figure, np.asarray(points, float)
    figure.draw_without_rendering()
    pixels = axes.transData.transform(points)
    looks = [{"weight": weight, "fontsize": fontsize} for weight in weights]
    sizes = [_size(axes, text, look) for text, look in zip(texts, looks, strict=True)]
    options = [_places(pixel, size, figure.dpi) for pixel, size in zip(pixels, sizes, strict=True)]
    blocked = np.array([mark.extents for mark in marks]).reshape(-1, 4)
    costs = [_costs(places, blocked, axes.bbox, pixels, number) for number, places in enumerate(options)]
    chosen: dict[int, int] = {}
    for _ in range(_SWEEPS):
        for number, places in enumerate(options):
            others = [options[other][pick] for other, pick in chosen.items() if other != number]
            on_labels = _ON_LABEL * _covered(places, np.array(others).reshape(-1, 4))
            chosen[number] = int(np.argmin(costs[number] + on_labels))
    labels = []
    for number, pick in sorted(chosen.items()):
        low, size, pixel = options[number][pick][:2], sizes[number], pixels[number]
        nearest = np.clip((pixel - low) / size, 0, 1)
        line = {
            "arrowstyle": "-",
            "linewidth": 0.7,
            "color": colours[number],
            "shrinkA": 1,
            "shrinkB": 4,
            "relpos": nearest,
        }
        labels.append(
            axes.annotate(
                texts[number],
                points[number],
                xytext=(low - pixel) * 72 / figure.dpi,
                textcoords="offset points",
                ha="left",
                va="bottom",
                in_layout=False,
                path_effects=[withStroke(linewidth=2, foreground="white")],
                arrowprops=line if _REACH[pick] > _FAR else None,
                **looks[number],
            )
        )
    return labels


def box_around(axes: Axes, point: ArrayLike, size: float) -> Bbox:
    """The square in pixels that a mark of a size in points takes at a point in data coordinates."""
    x, y = axes.transData.transform(point)
    half = size / 2 * axes.figure.dpi / 72
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def box_along(axes: Axes, begin: ArrayLike, end: ArrayLike, width: float) -> Bbox:
    """The box in pixels of a horizontal or vertical line of a width in points between two points in data coordinates."""
    return Bbox.union([box_around(axes, begin, width), box_around(axes, end, width)])


def _size(axes: Axes, text: str, look: Mapping[str, Any]) -> NDArray:
    """Width and height of a text in pixels."""
    drawn = axes.text(0, 0, text, **look)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.size


def _places(pixel: NDArray, size: NDArray, dpi: float) -> NDArray:
    """(places, 4) boxes around a point, from near to far, each with the side that faces it at the distance."""
    ways = np.tile(_DIRECTIONS, (len(_DISTANCES), 1))
    corners = pixel + ways * (_REACH[:, None] * dpi / 72 + np.abs(ways) * size / 2) - size / 2
    return np.hstack([corners, corners + size])


def _costs(places: NDArray, blocked: NDArray, inside: Bbox, pixels: NDArray, own: int) -> NDArray:
    """(places,) cost of each as far as other labels have no part in it."""
    outside = np.prod(places[:, 2:] - places[:, :2], axis=1) - _covered(places, inside.extents[None], gap=0)
    apart = np.maximum(np.maximum(places[:, None, :2] - pixels, pixels - places[:, None, 2:]), 0)
    misread = np.hypot(apart[..., 0], apart[..., 1]).argmin(axis=1) != own
    return _REACH + _ON_MARK * _covered(places, blocked) + _OUTSIDE * outside + _NEARER * misread


def _covered(places: NDArray, boxes: NDArray, gap: float = _GAP) -> NDArray:
    """(places,) pixels that each shares with the boxes (N, 4), grown by a gap."""
    low = np.maximum(places[:, None, :2], boxes[None, :, :2] - gap)
    high = np.minimum(places[:, None, 2:], boxes[None, :, 2:] + gap)
    return np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
