"""Scores of label images, beside Cellpose 3, scikit-image and pycocotools."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import contingency_table
from torch import Tensor

import inputs
from case import Agreement, Bar, Case, Peer, Work
from frugalseg.evaluation.metrics import Overlaps, instance_metrics
from frugalseg.kernels.overlap import overlap_matrix

THRESHOLDS = np.arange(10, 20) / 20
SYNTHETIC = "512 x 512, 200 cells"

#: True and predicted label images, (B, H, W) each.
Pair = tuple[Tensor, Tensor]


def cases(long: bool) -> Iterator[Case]:
    """Scores of drawn and of real images; the matrix they come from."""
    yield scores(SYNTHETIC, partial(shifted, 1, 512, 200), least_ratio=3)
    if inputs.has_real_images():
        histo = partial(inputs.real_label_images, "histo", 16, 224)
        yield scores("16 real images histo, 224 x 224", lambda: _shift(histo()), least_ratio=None)
    yield intersections()


def scores(kind: str, draw: Callable[[], Pair], least_ratio: float | None) -> Case:
    """AP at ten thresholds, PQ and AJI."""
    return Case(
        "overlap to AP at 10 thresholds, PQ, AJI",
        kind,
        draw,
        partial(shifted, 1, 64, 4),
        our_scores,
        (Peer("cellpose 3 (without PQ)", cellpose_scores, same_precision, Bar(least_ratio, agreement_to=1e-6)),),
        count_pixels,
    )


def intersections() -> Case:
    """IoU of all pairs of cells of one image."""
    peers = [Peer("scikit-image contingency_table", skimage_ious, same_ious, Bar(agreement_to=1e-9))]
    if importlib.util.find_spec("pycocotools"):
        peers.append(Peer("pycocotools encode and iou", coco_ious, same_ious, Bar(agreement_to=1e-9)))
    return Case(
        "overlap_matrix to IoU of all pairs",
        SYNTHETIC,
        partial(shifted, 1, 512, 200),
        partial(shifted, 1, 64, 4),
        our_ious,
        tuple(peers),
        count_pixels,
    )


def shifted(count: int, size: int, cells: int) -> Pair:
    """Drawn label images, and the same moved by some pixels."""
    return _shift(inputs.label_images(count, size, cells))


def our_scores(pair: Pair) -> list[dict[str, float]]:
    """All metrics of cells, by image."""
    return [instance_metrics(Overlaps.of(truth, prediction)) for truth, prediction in zip(*pair, strict=True)]


def cellpose_scores(pair: Pair) -> NDArray[np.float32]:
    """Average precision (B, 10); Cellpose's AJI, which is not the published one, is computed too."""
    from cellpose import metrics

    truths, predictions = (list(labels.numpy()) for labels in pair)
    metrics.aggregated_jaccard_index(truths, predictions)
    return metrics.average_precision(truths, predictions, THRESHOLDS)[0]


def our_ious(pair: Pair) -> NDArray[np.float64]:
    """IoU (n, m) of the first image from our matrix."""
    return _ious(overlap_matrix(pair[0][0], pair[1][0]).numpy())


def skimage_ious(pair: Pair) -> NDArray[np.float64]:
    """IoU (n, m) of the first image from scikit-image's sparse matrix."""
    return _ious(contingency_table(pair[0][0].numpy(), pair[1][0].numpy()).toarray())


def coco_ious(pair: Pair) -> NDArray[np.float64]:
    """IoU (n, m) of the first image from run-length masks, which are made on the way."""
    from pycocotools import mask

    masks = [
        mask.encode(np.asfortranarray(labels[0].numpy()[:, :, None] == np.arange(1, int(labels.max()) + 1), np.uint8))
        for labels in pair
    ]
    return mask.iou(*masks, [False] * len(masks[1]))


def same_precision(_: Pair, ours: list[dict[str, float]], theirs: NDArray[np.float32]) -> Agreement:
    """Largest difference of the mean AP of an image."""
    differences = [abs(mine["ap"] - peer.mean()) for mine, peer in zip(ours, theirs.astype(np.float64), strict=True)]
    return Agreement(f"mean AP differs by {max(differences):.1g}", max(differences))


def same_ious(_: Pair, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Agreement:
    """Largest difference of an IoU."""
    difference = float(np.abs(ours - theirs).max())
    return Agreement(f"IoU differs by {difference:.1g}", difference)


def count_pixels(pair: Pair) -> Work:
    """Each pixel makes an index, two operations, and adds one; both images are read once."""
    return Work(3 * pair[0].numel(), pair[0].nbytes + pair[1].nbytes)


def _ious(matrix: NDArray[np.integer]) -> NDArray[np.float64]:
    shared = matrix[1:, 1:].astype(np.float64)
    return shared / (matrix.sum(1)[1:, None] + matrix.sum(0)[None, 1:] - shared)


def _shift(labels: Tensor) -> Pair:
    return labels, torch.roll(labels, (2, 1), (1, 2))
