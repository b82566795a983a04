"""What the report's words mean: every metric as `frugalseg.evaluation.metrics` computes it, and the study's own terms."""

from __future__ import annotations

import re

from frugalseg.reporting.names import METRIC_NAMES

#: Metric key -> definition, for readers who have met another one under the same name. TP, FP and FN are right, spurious
#: and missed: pixels in the first six, cells from ``pq`` on.
METRIC_DEFINITIONS = {
    "iou": "Intersection over union of the foreground pixels: TP / (TP + FP + FN).",
    "dice": "2 TP / (2 TP + FP + FN) of the foreground pixels. It is never below IoU and says the same.",
    "precision": "Share of the predicted foreground pixels that are right: TP / (TP + FP).",
    "recall": "Share of the true foreground pixels that are found: TP / (TP + FN).",
    "accuracy": "Share of all pixels that are right, background among them. Where cells are few it is high even if none "
    "is found. Not what others call the accuracy of cells: that is AP here.",
    "pq_pixel": "IoU × Dice of the foreground pixels, what the published tables call panoptic quality. It knows no cells "
    "and must not be compared with the PQ of cells.",
    "pq": "Panoptic quality of whole cells (Kirillov et al. 2019): SQ × RQ. How well cells are outlined times how well they "
    "are found.",
    "sq": "Segmentation quality: mean IoU of the predicted cells with the true cells they match (IoU above 0.5). How well "
    "the cells that are found are outlined.",
    "rq": "Recognition quality: 2 TP / (2 TP + FP + FN) of cells, matched at an IoU above 0.5. How well cells are found, "
    "however they are outlined.",
    "ap_50": "TP / (TP + FP + FN) of cells, matched one to one at an IoU of 0.5 or more, as Cellpose reports it. Others call "
    "it accuracy; it is not the average precision of detection, the area under a precision-recall curve.",
    "ap_75": "As AP at IoU 0.5, but a cell counts as found only at an IoU of 0.75 or more.",
    "ap_90": "As AP at IoU 0.5, but a cell counts as found only at an IoU of 0.9 or more.",
    "ap": "TP / (TP + FP + FN) of cells, averaged over matching at an IoU of 0.5, 0.55 and so on to 0.95. Others call it mean "
    "accuracy; it is not the average precision of detection, the area under a precision-recall curve.",
    "f1_50": "2 TP / (2 TP + FP + FN) of cells, with the matches of AP at IoU 0.5. RQ is the same but for pairs of an IoU of "
    "0.5 exactly.",
    "aji": "Aggregated Jaccard index of MoNuSeg (Kumar et al. 2017): each true cell takes the predicted cell of largest IoU; "
    "all their intersections over all their unions, to which cells without a partner are added.",
    "hd95": "95th percentile of the distance between the true and the predicted outline of the foreground, in pixels; smaller "
    "is better.",
    "gap_closed": "Share of the way from one end of a comparison to the other that a model goes: 0 is as the start, 1 as the "
    "end; below 0 is worse than the start, above 1 better than the end.",
}

#: What holds for all metrics, see `frugalseg.evaluation.metrics` on empty images.
READING = (
    "TP, FP and FN are right, spurious and missed: pixels in the metrics of the foreground, cells in the others. Scores lie "
    "between 0 and 1, and more is better; HD95 is a distance. An image without cells in truth and prediction scores 1, one with "
    "cells in only one of them 0, but for accuracy, which counts the pixels that are right all the same, and HD95, which is 0 "
    "and the diagonal of the image."
)

#: How tables and sentences call metrics beside their names in full -> metric key.
_SHORT_NAMES = {
    "pixel PQ": "pq_pixel",
    "PQ (pixel)": "pq_pixel",
    "instance PQ": "pq",
    "PQ": "pq",
    "AP": "ap",
    "F1": "f1_50",
    "HD95": "hd95",
}

#: Term -> what it means in this study, for readers who come from biology.
TERMS = {
    "Chain": "The way a model was trained, which is its name: cyto_to_histo+cyto@dq10 was trained on cyto, then fine-tuned on "
    "histo together with 10 % of cyto.",
    "DQ, k-center, random, few": "Selectors, ways to take a part of the training images: dataset quantization; patches as unlike "
    "each other as can be; by lot; whole images, as people annotate them.",
    "Replay": "Showing a model some of its old images while it is fine-tuned on new ones, so that it does not forget them. Its "
    "share is the part of every batch that they fill.",
    "Seed": "A repetition of a training with another start and another order of images. How much seeds differ says how far a "
    "result is chance.",
    "Interval": "Where the value would lie with other seeds and other test images, in 95 of 100 studies like this one.",
    "Margin": "The difference that does not matter, set in the config before the study ran. Two models are called equal only "
    "where a test shows that they differ by less.",
}

_KEYS = {name: key for key, name in METRIC_NAMES.items()} | _SHORT_NAMES
# Longest first, so that "AP at IoU 0.5" is not taken for an AP.
_PATTERN = re.compile(
    r"(?<![\w.])(?:" + "|".join(map(re.escape, sorted(_KEYS, key=len, reverse=True))) + r")(?![\w]|\.\d)"
)


def split_at_metrics(text: str) -> list[tuple[str, str | None]]:
    """Pieces of a text in order, each with the key of the metric that it names, or None.

    Joined they are the text: ``"an AP of 0.7"`` gives ``("an ", None), ("AP", "ap"), (" of 0.7", None)``.
    """
    pieces, end = [], 0
    for match in _PATTERN.finditer(text):
        pieces += [(text[end : match.start()], None), (match.group(), _KEYS[match.group()])]
        end = match.end()
    return [piece for piece in [*pieces, (text[end:], None)] if piece[0]]


def anchor(metric: str) -> str:
    """Id of a metric's definition on a page."""
    return f"metric-{metric.replace('_', '-')}"
