"""Metrics: one row each, with everything that checks, tables and readers need to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A metric of a test image.

    Attributes
    ----------
    key : str
        Its column in files and its word in the config.
    name : str
        What readers see. Two quantities go by "panoptic quality"; their names say which is which.
    definition : str
        For readers who have met another one under the same name.
    aliases : tuple of str
        What tables and sentences also call it.
    digits : int
        Digits after the point.
    rising : bool
        Whether more is better, on a scale from 0 to 1.
    of_images : bool
        Whether evaluation measures it on every image; if not, tables derive it.
    value : callable, optional
        What it is of an image with cells in truth and prediction, from its `frugalseg.evaluation.metrics.Overlaps`; without
        it, `frugalseg.evaluation.metrics` computes it.
    """

    key: str
    name: str
    definition: str
    aliases: tuple[str, ...] = ()
    digits: int = 3
    rising: bool = True
    of_images: bool = True
    value: Callable[[Any], float] | None = None

    @property
    def short(self) -> str:
        """The name for sentences, without thresholds."""
        return self.name.partition(" (IoU")[0]


# TP, FP and FN are right, spurious and missed: pixels in the first six, cells from ``pq`` on.
_ROWS = (
    Metric("iou", "IoU", "Intersection over union of the foreground pixels: TP / (TP + FP + FN)."),
    Metric(
        "dice",
        "Dice",
        "2 TP / (2 TP + FP + FN) of the foreground pixels. It is never below IoU and ranks images alike.",
    ),
    Metric("precision", "Precision", "Share of the predicted foreground pixels that are right: TP / (TP + FP)."),
    Metric("recall", "Recall", "Share of the true foreground pixels that are found: TP / (TP + FN)."),
    Metric(
        "accuracy",
        "Accuracy",
        "Share of all pixels that are right, background included. Where cells are few it is high even if none is found. "
        "Others call AP the accuracy of cells; this is not it.",
    ),
    Metric(
        "pq_pixel",
        "PQ (pixel, IoU × Dice)",
        "IoU × Dice of the foreground pixels, what the published tables call panoptic quality. It knows no cells and must "
        "not be compared with the PQ of cells.",
        aliases=("pixel PQ", "PQ (pixel)"),
    ),
    Metric(
        "pq",
        "PQ (instance)",
        "Panoptic quality of whole cells (Kirillov et al. 2019): SQ × RQ. How well cells are outlined times how well they "
        "are found.",
        aliases=("instance PQ", "PQ"),
    ),
    Metric(
        "sq",
        "SQ",
        "Segmentation quality: mean IoU of the predicted cells with the true cells they match (IoU above 0.5). How well the "
        "cells that are found are outlined.",
    ),
    Metric(
        "rq",
        "RQ",
        "Recognition quality: 2 TP / (2 TP + FP + FN) of cells, matched at an IoU above 0.5. How well cells are found, "
        "however they are outlined.",
    ),
    Metric(
        "ap_50",
        "AP at IoU 0.5",
        "TP / (TP + FP + FN) of cells, matched one to one at an IoU of 0.5 or more, as Cellpose reports it. Others call it "
        "accuracy; it is not the average precision of detection, the area under a precision-recall curve.",
    ),
    Metric(
        "ap_75",
        "AP at IoU 0.75",
        "Like AP at IoU 0.5, but a cell counts as found only at an IoU of 0.75 or more.",
    ),
    Metric(
        "ap_90",
        "AP at IoU 0.9",
        "Like AP at IoU 0.5, but a cell counts as found only at an IoU of 0.9 or more.",
    ),
    Metric(
        "ap",
        "AP (IoU 0.5 to 0.95)",
        "TP / (TP + FP + FN) of cells, averaged over matching at an IoU of 0.5, 0.55 and so on to 0.95. Others call it mean "
        "accuracy; it is not the average precision of detection, the area under a precision-recall curve.",
        aliases=("AP",),
    ),
    Metric(
        "f1_50",
        "F1 at IoU 0.5",
        "2 TP / (2 TP + FP + FN) of cells, with the matches of AP at IoU 0.5. RQ is the same but for pairs with an IoU of "
        "exactly 0.5.",
        aliases=("F1",),
    ),
    Metric(
        "aji",
        "AJI",
        "Aggregated Jaccard index of MoNuSeg (Kumar et al. 2017): each true cell takes the predicted cell of largest IoU; "
        "all their intersections over all their unions, to which cells without a partner are added.",
    ),
    Metric(
        "hd95",
        "HD95 (px)",
        "95th percentile of the distance between the true and the predicted outline of the foreground, in pixels; smaller "
        "is better.",
        aliases=("HD95",),
        digits=1,
        rising=False,
    ),
    Metric(
        "gap_closed",
        "Gap closed",
        "Share of the way from one end of a comparison to the other that a model goes: 0 is as the start, 1 as the end; "
        "below 0 is worse than the start, above 1 better than the end.",
        of_images=False,
    ),
)
METRICS = {metric.key: metric for metric in _ROWS}
OF_IMAGES = tuple(metric.key for metric in _ROWS if metric.of_images)
"""Keys of what evaluation measures, in the order of its columns."""


def metric_of(key: str) -> Metric:
    """The metric with a key, or a ValueError that names those there are."""
    if key not in METRICS:
        raise ValueError(f"there is no metric {key!r}; the metrics are {', '.join(METRICS)}")
    return METRICS[key]
