"""The ceiling of every model: what the true cells of an image score after a way through their own true flows and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from frugalseg.data.stores import Images
from frugalseg.kernels.flows import flows_to_labels, labels_to_flows
from frugalseg.kernels.overlap import overlap_pairs

# Further than any threshold from 0, on either side.
_CERTAIN = 1e6
_LOW = 0.95


def ceiling_of(images: Images, **settings: Any) -> dict[str, Any]:
    """Mean of `ceiling` over images, for JSON, with the names and ``ap`` of those under 0.95."""
    scores = {name: ceiling(images.labels(index), **settings) for index, name in enumerate(images.names)}
    return {
        "settings": settings,
        **{key: round(float(np.mean([score[key] for score in scores.values()])), 4) for key in ("ap", "pq")},
        "cells_lost": sum(score["lost"] for score in scores.values()),
        "images_under_95": {name: round(score["ap"], 4) for name, score in scores.items() if score["ap"] < _LOW},
    }


def ceiling(
    labels: np.ndarray,
    *,
    steps: int = 200,
    flow_threshold: float | None = 0.4,
    logit_threshold: float = 0.0,
    min_size: int = 15,
    largest: float = 0.4,
) -> dict[str, float]:
    """``ap`` and ``pq`` at IoU 0.5 that a network reaches which predicts the flows of the cells (H, W) 1..n without error.

    The keyword arguments are those of `frugalseg.kernels.flows.flows_to_labels`; with Cellpose's defaults cells of under 15
    pixels, of over 0.4 of the image, and those that are longer than the steps can walk are lost. ``lost`` counts them. An
    image without a cell scores 1.
    """
    truth = torch.from_numpy(np.ascontiguousarray(labels, np.int32))
    logits = torch.where(truth > 0, _CERTAIN, -_CERTAIN)
    settings = {"steps": steps, "flow_threshold": flow_threshold, "logit_threshold": logit_threshold}
    (found,) = flows_to_labels(
        labels_to_flows(truth[None]), logits[None], **settings, min_size=min_size, largest=largest
    )
    a, b, shared = (part.numpy() for part in overlap_pairs(truth, found))
    areas, areas_found = np.bincount(truth.flatten()), np.bincount(found.flatten())
    iou = shared / (areas[a] + areas_found[b] - shared)
    # At more than half a cell has no second partner.
    matched = iou[(a > 0) & (b > 0) & (iou > 0.5)]
    cells, cells_found = int((areas[1:] > 0).sum()), int((areas_found[1:] > 0).sum())
    if not cells + cells_found:
        return {"ap": 1.0, "pq": 1.0, "lost": 0}
    return {
        "ap": len(matched) / (cells + cells_found - len(matched)),
        "pq": float(matched.sum()) / ((cells + cells_found) / 2),
        "lost": cells - len(matched),
    }
