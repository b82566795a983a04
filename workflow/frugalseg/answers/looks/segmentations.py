"""What models make of test images: outlines of the truth and of each prediction over the image."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.ndimage import find_objects
from skimage.measure import approximate_polygon, find_contours

from frugalseg.answers.looks.colours import to_rgb
from frugalseg.evaluation.metrics import per_image
from frugalseg.reporting import style
from frugalseg.study.metrics import metric_of

_COLUMN_WIDTH = 1.8
# Pixels by which an outline may be simplified: the steps of the pixel grid go, and most of the size of an SVG.
_TOLERANCE = 0.4
_TRUTH_COLOUR = "#FFFFFF"
_PREDICTION_COLOUR = "#F0E442"


@style.styled
def draw_segmentations(
    images: Mapping[str, np.ndarray],
    truth: Sequence[np.ndarray],
    predictions: Mapping[str, Sequence[np.ndarray]],
    window: int = 256,
    changed: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a row an image: the truth, then each model's prediction with its AP at IoU 0.5 and its Dice.

    The scores are those of the whole image; of large images the middle is shown.

    `images` are (C, H, W), normalised, by the title of the row; `truth` and `predictions`, by the title of the column, are
    integer label images (H, W) in the same order, 0 is background. `window` is the side of the part shown at most, in pixels.
    `changed` has ``from`` and ``to``, titles of two columns, and ``metric``: it is written below every prediction in place of
    the other two, below those of ``to`` with its change.
    """
    columns = {"Truth": truth, **predictions}
    for title, labels in columns.items():
        _check_sizes(title, labels, images)
    heights = [min(image.shape[1], window) / min(image.shape[2], window) for image in images.values()]
    figure = Figure(
        figsize=(_COLUMN_WIDTH * len(columns), sum(_COLUMN_WIDTH * height + 0.1 for height in heights) + 0.25),
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    grid = figure.subplots(len(images), len(columns), squeeze=False, height_ratios=heights)
    for row, (name, image) in enumerate(images.items()):
        scores = {title: per_image(truth[row], labels[row]) for title, labels in predictions.items()}
        below = [_cells_text(truth[row]), *(_scores_text(title, scores, changed) for title in predictions)]
        for column, (title, labels) in enumerate(columns.items()):
            ax = grid[row][column]
            _draw_outlines(ax, image, labels[row], window, _PREDICTION_COLOUR if column else _TRUTH_COLOUR)
            ax.set_xlabel(below[column], labelpad=2)
            if row == 0:
                ax.set_title(textwrap.fill(title, 26))
        grid[row][0].set_ylabel(textwrap.shorten(name, 28, placeholder="…"))
    return figure


def outlines(labels: np.ndarray) -> list[np.ndarray]:
    """Outlines of the cells of a label image (H, W), halfway between its pixels and those around, to within 0.4 px.

    They are closed lines (K, 2) of points (x, y) in pixels; a cell of several parts or with holes has several.
    """
    lines = []
    for label, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            # A border of background closes outlines that would end at the box.
            mask = np.pad(labels[box] == label, 1)
            corner = np.array([box[1].start - 1, box[0].start - 1])
            lines += [
                approximate_polygon(line, _TOLERANCE)[:, ::-1] + corner
                for line in find_contours(mask.astype(np.float32), 0.5)
            ]
    return lines


def _check_sizes(title: str, labels: Sequence[np.ndarray], images: Mapping[str, np.ndarray]) -> None:
    if len(labels) != len(images):
        raise ValueError(f"{title}: there are {len(labels)} label images for {len(images)} images")
    for (name, image), label_image in zip(images.items(), labels, strict=True):
        if label_image.shape != image.shape[1:]:
            raise ValueError(f"{title}: labels of {name} are {label_image.shape}, the image is {image.shape[1:]}")


def _draw_outlines(ax: Axes, image: np.ndarray, labels: np.ndarray, window: int, colour: str) -> None:
    part = tuple(_middle(length, window) for length in labels.shape)
    ax.imshow(to_rgb(image[:, part[0], part[1]]), interpolation="nearest")
    lines = outlines(labels[part])
    # A dark line below the bright one shows on stained tissue as well as on a black background.
    ax.add_collection(LineCollection(lines, colors="black", linewidths=1.5), autolim=False)
    ax.add_collection(LineCollection(lines, colors=colour, linewidths=0.7), autolim=False)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _middle(length: int, window: int) -> slice:
    start = max(0, (length - window) // 2)
    return slice(start, start + min(length, window))


def _cells_text(labels: np.ndarray) -> str:
    count = len(np.unique(labels[labels > 0]))
    return "1 cell" if count == 1 else f"{count} cells"


def _scores_text(title: str, scores: Mapping[str, Mapping[str, float]], changed: Mapping[str, str] | None) -> str:
    """What stands below a prediction, of the scores of its image by all models."""
    if changed is None:
        return f"AP {scores[title]['ap_50']:.2f}, Dice {scores[title]['dice']:.2f}"
    metric = changed["metric"]
    value = scores[title][metric]
    text = f"{metric_of(metric).name} {value:.2f}"
    if title != changed["to"]:
        return text
    change = f"{value - scores[changed['from']][metric]:+.2f}".replace("-", "\N{MINUS SIGN}")
    return f"{text} ({change})"
