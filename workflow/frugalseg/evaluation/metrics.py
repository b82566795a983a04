"""Metrics of one predicted label image against its truth.

All but the boundary distance come from one sparse overlap table of the two label images: pixel metrics from the
foreground (label > 0), instance metrics from the intersection over union (IoU) of pairs of cells.

Empty images, for every metric
------------------------------
- Neither image has a cell: the prediction is right. Every score is 1, ``hd95`` is 0.
- Only one of them has cells: nothing is found, or all that is found is wrong. Every score is 0, also those whose
  formula reads 0 / 0 there (precision without a prediction, recall without a truth, SQ without a match), so that
  an empty prediction cannot raise the mean of any score over images. ``accuracy`` stays the fraction of pixels that
  are right, and ``hd95`` is the diagonal of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.evaluation.boundaries import hausdorff_95
from frugalseg.kernels.overlap import overlap_pairs
from frugalseg.study.metrics import METRICS, OF_IMAGES, Metric

# Twentieths are exact enough: a ratio of pixel counts equal to k / 20 rounds to the same double as k / 20.
_AP_THRESHOLDS = np.arange(10, 20) / 20


def per_image(truth: NDArray[np.integer] | Tensor, prediction: NDArray[np.integer] | Tensor) -> dict[str, float]:
    """All metrics of one image from its true and its predicted label image.

    Parameters
    ----------
    truth, prediction : np.ndarray or Tensor
        (H, W) integer labels, 0 is background; labels may have gaps, their numbers carry no meaning. Tensors may lie
        on any device, both on the same.

    Returns
    -------
    dict of str to float
        The keys are those of `frugalseg.study.metrics`, in its order. All but ``hd95`` lie in [0, 1], larger is better. With TP, FP,
        FN, TN the foreground pixels (label > 0) rightly and wrongly predicted, missed, and the background agreed on:

        - ``iou`` TP / (TP + FP + FN); ``dice`` 2 TP / (2 TP + FP + FN); ``precision`` TP / (TP + FP);
          ``recall`` TP / (TP + FN); ``accuracy`` (TP + TN) / all pixels;
        - ``pq_pixel`` iou x dice, the product that Zhao & Chen (2025) report as panoptic quality.

        With TP, FP, FN the matched, spurious and missed cells:

        - ``sq`` mean IoU of the pairs with IoU > 0.5 (which are one-to-one), ``rq`` 2 TP / (2 TP + FP + FN) over
          them, ``pq`` sq x rq: the panoptic quality of Kirillov et al. (2019);
        - ``ap_50``, ``ap_75``, ``ap_90`` TP / (TP + FP + FN) with pairs of IoU >= 0.5, 0.75, 0.9 matched one-to-one so
          that as many as possible match (Stringer et al. 2021); ``ap`` its mean over IoU 0.5, 0.55, ..., 0.95;
        - ``f1_50`` 2 TP / (2 TP + FP + FN) with the matches of ``ap_50``; it differs from ``rq`` by the pairs whose
          IoU is 0.5 exactly;
        - ``aji`` aggregated Jaccard index, see :func:`instance_metrics`.

        And ``hd95``, in pixels, smaller is better: see :func:`frugalseg.evaluation.boundaries.hausdorff_95`.

        What each gives for empty images is said at the top of this module.
    """
    truth, prediction = _as_tensor(truth), _as_tensor(prediction)
    overlaps = Overlaps.of(truth, prediction)
    distance = hausdorff_95(truth.bool().cpu().numpy(), prediction.bool().cpu().numpy())
    found = pixel_metrics(overlaps) | instance_metrics(overlaps) | {"hd95": distance}
    return {key: found[key] if key in found else _value(METRICS[key], overlaps) for key in OF_IMAGES}


@dataclass(frozen=True)
class Overlaps:
    """Which cells of two label images share pixels, and the areas around them.

    Attributes
    ----------
    truths, predictions : np.ndarray
        (P,) indices of both cells of each overlapping pair, sorted; counted from 0 in the order of their labels.
    shared, truth_areas, prediction_areas : np.ndarray
        Pixels of each pair (P,), of every true (n,) and every predicted cell (m,), float64.
    background : float
        Pixels that are background in both images.
    """

    truths: NDArray[np.intp]
    predictions: NDArray[np.intp]
    shared: NDArray[np.float64]
    truth_areas: NDArray[np.float64]
    prediction_areas: NDArray[np.float64]
    background: float

    @classmethod
    def of(cls, truth: Tensor, prediction: Tensor) -> Overlaps:
        """Overlaps of two label images, (H, W) integer tensors on one device."""
        truths, predictions, shared = (column.cpu().numpy() for column in overlap_pairs(truth, prediction))
        shared = shared.astype(np.float64)
        true_cell, predicted_cell = truths > 0, predictions > 0
        truth_index, truth_areas = _index_cells(truths, true_cell, shared)
        prediction_index, prediction_areas = _index_cells(predictions, predicted_cell, shared)
        pairs = true_cell & predicted_cell
        return cls(
            truth_index[pairs],
            prediction_index[pairs],
            shared[pairs],
            truth_areas,
            prediction_areas,
            float(shared[~true_cell & ~predicted_cell].sum()),
        )

    @property
    def unions(self) -> NDArray[np.float64]:
        """(P,) pixels of either cell of each pair."""
        return self.truth_areas[self.truths] + self.prediction_areas[self.predictions] - self.shared


def pixel_metrics(overlaps: Overlaps) -> dict[str, float]:
    """Metrics of the foreground, iou to pq_pixel, from the overlaps; formulas at :func:`per_image`."""
    true_positive = float(overlaps.shared.sum())
    false_negative = float(overlaps.truth_areas.sum()) - true_positive
    false_positive = float(overlaps.prediction_areas.sum()) - true_positive
    right = true_positive + overlaps.background
    union = true_positive + false_positive + false_negative
    accuracy = right / (overlaps.background + union)
    if union == 0:
        return dict.fromkeys(("iou", "dice", "precision", "recall"), 1.0) | {"accuracy": accuracy, "pq_pixel": 1.0}
    iou = true_positive / union
    dice = 2 * true_positive / (union + true_positive)
    return {
        "iou": iou,
        "dice": dice,
        "precision": true_positive / max(true_positive + false_positive, 1.0),
        "recall": true_positive / max(true_positive + false_negative, 1.0),
        "accuracy": accuracy,
        "pq_pixel": iou * dice,
    }


def instance_metrics(overlaps: Overlaps) -> dict[str, float]:
    """Metrics of the cells, pq to aji, from the overlaps; formulas at :func:`per_image`.

    Notes
    -----
    ``aji`` is Algorithm 1 of Kumar et al. (2017), as its authors score MoNuSeg with it: every true cell takes the
    predicted cell of largest IoU, the smaller label where two are equal; intersections and unions of these pairs are
    summed; a true cell that no prediction touches adds its area to the union, and so does every predicted cell that
    no true cell took. A prediction that several true cells take enters the sums once for each of them, but is never
    added as unused: the published algorithm marks cells as used only for that last sum. Allowing each prediction a
    single pair would be AJI+ (Graham et al. 2019); giving it to the first true cell that asks, as an early
    script for MoNuSeg did, would make the score depend on the order of the labels.
    """
    n_truth, n_prediction = len(overlaps.truth_areas), len(overlaps.prediction_areas)
    names = ("pq", "sq", "rq", "ap_50", "ap_75", "ap_90", "ap", "f1_50", "aji")
    if n_truth == 0 or n_prediction == 0:
        return dict.fromkeys(names, float(n_truth == n_prediction))
    n_cells = n_truth + n_prediction
    unions = overlaps.unions
    ious = overlaps.shared / unions
    panoptic = ious[ious > 0.5]
    sq = float(panoptic.mean()) if len(panoptic) else 0.0
    rq = 2 * len(panoptic) / n_cells
    matches = _count_matches(overlaps, ious)
    precisions = matches / (n_cells - matches)
    values = (
        *(sq * rq, sq, rq),
        *(float(precisions[k]) for k in (0, 5, 8)),
        float(precisions.mean()),
        2 * float(matches[0]) / n_cells,
        _aggregated_jaccard(overlaps, ious, unions),
    )
    return dict(zip(names, values, strict=True))


def _value(metric: Metric, overlaps: Overlaps) -> float:
    """A metric by the formula of its row; of images without cells as all others, see the top of this module."""
    n_truth, n_prediction = len(overlaps.truth_areas), len(overlaps.prediction_areas)
    if n_truth and n_prediction:
        return float(metric.value(overlaps))
    return float(n_truth == n_prediction)


def _as_tensor(labels: NDArray[np.integer] | Tensor) -> Tensor:
    return labels if isinstance(labels, Tensor) else torch.from_numpy(np.ascontiguousarray(labels))


def _index_cells(
    labels: NDArray[np.int64], is_cell: NDArray[np.bool_], shared: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Cells counted from 0 without gaps (undefined where `is_cell` is False), and the area of each."""
    cells, indices = np.unique(labels[is_cell], return_inverse=True)
    index = np.zeros(len(labels), np.intp)
    index[is_cell] = indices
    return index, np.bincount(indices, weights=shared[is_cell], minlength=len(cells))


def _count_matches(overlaps: Overlaps, ious: NDArray[np.float64]) -> NDArray[np.int64]:
    """Largest number of one-to-one matches with IoU >= threshold, for each of the ten thresholds.

    Above 0.5 a cell has at most one partner, and every pair is a match. At 0.5 exactly a cell may have two, the two
    halves it is cut into, and each half then has no other partner: pairs and their cells are a forest of stars. A star
    holds one match, and a forest has as many trees as it has nodes more than edges.
    """
    counts = (ious >= _AP_THRESHOLDS[:, None]).sum(1)
    paired = ious >= 0.5
    nodes = len(np.unique(overlaps.truths[paired])) + len(np.unique(overlaps.predictions[paired]))
    counts[0] = nodes - counts[0]
    return counts


def _aggregated_jaccard(overlaps: Overlaps, ious: NDArray[np.float64], unions: NDArray[np.float64]) -> float:
    order = np.lexsort((overlaps.predictions, -ious, overlaps.truths))
    touched, first = np.unique(overlaps.truths[order], return_index=True)
    best = order[first]
    unused = np.ones(len(overlaps.prediction_areas), bool)
    unused[overlaps.predictions[best]] = False
    missed = overlaps.truth_areas.sum() - overlaps.truth_areas[touched].sum()
    union = unions[best].sum() + missed + overlaps.prediction_areas[unused].sum()
    return float(overlaps.shared[best].sum() / union)
