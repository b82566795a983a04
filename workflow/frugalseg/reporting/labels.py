"""Labels beside the points of a figure, placed so that they cover neither each other nor what is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

# Distances from a point to its label, in points, from near to far, and the directions that are tried, to the right first.
_DISTANCES = (6, 10, 15, 21, 28, 36, 46, 58, 72)
_DIRECTIONS = np.deg2rad([0, 180, 45, 315, 135, 225, 90, 270, 20, 340, 160, 200, 65, 115, 245, 295])
# Beyond it a line leads from the label to its point.
_FAR = 8
# What a covered pixel costs against a point of distance: another label, a mark, the edge of the axes.
_ON_LABEL, _ON_MARK, _OUTSIDE = 10.0, 3.0, 10.0
# What it costs to stand nearer to another point, whose name one would take it for.
_NEARER = 25.0
# Every label is placed anew once all others have their places, so often.
_SWEEPS = 3
_GAP = 1.5


@dataclass
class _Place:
    """Where a label could stand: its box in pixels, and how far from its point in points."""

    box: Bbox
    distance: float


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

    Parameters
    ----------
    axes : Axes
        Its limits and the layout of its figure must be final.
    points : array_like
        (N, 2) in data coordinates.
    texts : sequence of str
        One a point.
    marks : sequence of Bbox
        What is drawn and should stay visible, in pixels: see :func:`box_around` and :func:`box_along`.
    colours : sequence of str
        Of the line that leads to each point.
    weights : sequence of str
        Weight of each text's font, ``normal`` or ``bold``.
    fontsize : float
        In points.

    Returns
    -------
    list of Annotation
        One a point; from those that stand far off a thin line leads to the point.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    points, looks = np.asarray(points, float), [{"weight": weight, "fontsize": fontsize} for weight in weights]
    at = axes.transData.transform(points)
    sizes = [_size(axes, text, look) for text, look in zip(texts, looks, strict=True)]
    blocked = np.array([mark.extents for mark in marks]).reshape(-1, 4)
    options = [list(_places(pixel, size, figure.dpi)) for pixel, size in zip(at, sizes, strict=True)]
    fixed = [
        _costs(places, blocked, axes.bbox) + _NEARER * _taken_for_another(places, at, number)
        for number, places in enumerate(options)
    ]
    chosen: list[int | None] = [None] * len(texts)
    for _ in range(_SWEEPS):
        for number, places in enumerate(options):
            others = [options[k][pick].box.extents for k, pick in enumerate(chosen) if pick is not None and k != number]
            on_labels = _ON_LABEL * _covered(places, np.array(others).reshape(-1, 4))
            chosen[number] = int(np.argmin(fixed[number] + on_labels))
    return [
        _annotate(axes, point, pixel, places[pick], text, colour, look)
        for point, pixel, places, pick, text, colour, look in zip(
            points, at, options, chosen, texts, colours, looks, strict=True
        )
    ]


def box_around(axes: Axes, point: ArrayLike, size: float) -> Bbox:
    """The square in pixels that a mark of a size in points takes at a point in data coordinates."""
    x, y = axes.transData.transform(point)
    half = size / 2 * axes.figure.dpi / 72
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def box_along(axes: Axes, begin: ArrayLike, end: ArrayLike, width: float) -> Bbox:
    """The box in pixels of a horizontal or vertical line of a width in points between two points in data coordinates."""
    first, last = box_around(axes, begin, width), box_around(axes, end, width)
    return Bbox.union([first, last])


def _size(axes: Axes, text: str, look: Mapping[str, Any]) -> tuple[float, float]:
    """Width and height of a text in pixels."""
    drawn = axes.text(0, 0, text, **look)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width, box.height


def _places(point: NDArray, size: tuple[float, float], dpi: float) -> Iterator[_Place]:
    """Boxes around a point, from near to far, each with the side that faces it at the distance."""
    for distance in _DISTANCES:
        for direction in _DIRECTIONS:
            way = np.array([np.cos(direction), np.sin(direction)])
            centre = point + way * (distance * dpi / 72 + np.abs(way) * np.array(size) / 2)
            corner = centre - np.array(size) / 2
            yield _Place(Bbox.from_bounds(*corner, *size), distance)


def _costs(places: Sequence[_Place], blocked: NDArray, inside: Bbox) -> NDArray:
    """(places,) cost of each as far as other labels have no part in it."""
    distances = np.array([place.distance for place in places])
    boxes = np.array([place.box.extents for place in places])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    outside = areas - _covered(places, np.array([inside.extents]), gap=0)
    return distances + _ON_MARK * _covered(places, blocked) + _OUTSIDE * outside


def _covered(places: Sequence[_Place], boxes: NDArray, gap: float = _GAP) -> NDArray:
    """(places,) pixels that each shares with the boxes (N, 4), grown by a gap."""
    own = np.array([place.box.extents for place in places])[:, None]
    low = np.maximum(own[..., :2], boxes[None, :, :2] - gap)
    high = np.minimum(own[..., 2:], boxes[None, :, 2:] + gap)
    return np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)


def _taken_for_another(places: Sequence[_Place], pixels: NDArray, own: int) -> NDArray[np.bool_]:
    """(places,) whether a box is nearer to another of the points (N, 2) than to its own."""
    boxes = np.array([place.box.extents for place in places])[:, None]
    apart = np.maximum(np.maximum(boxes[..., :2] - pixels, pixels - boxes[..., 2:]), 0)
    distances = np.hypot(*np.moveaxis(apart, 2, 0))
    return distances.argmin(axis=1) != own


def _annotate(
    axes: Axes, point: NDArray, pixel: NDArray, place: _Place, text: str, colour: str, look: Mapping[str, Any]
) -> Annotation:
    offset = (place.box.min - pixel) * 72 / axes.figure.dpi
    nearest = np.clip((pixel - place.box.min) / place.box.size, 0, 1)
    line = {"arrowstyle": "-", "linewidth": 0.7, "color": colour, "shrinkA": 1, "shrinkB": 4, "relpos": nearest}
    return axes.annotate(
        text,
        point,
        xytext=offset,
        textcoords="offset points",
        ha="left",
        va="bottom",
        in_layout=False,
        path_effects=[withStroke(linewidth=2, foreground="white")],
        arrowprops=line if place.distance > _FAR else None,
        **look,
    )
