"""Label images to flows and back, beside Cellpose 3 on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

import inputs
from case import Agreement, Bar, Case, Peer, Work, quiet
from frugalseg.kernels.flows import flows_to_labels, labels_to_flows

CPU = torch.device("cpu")
STEPS = 200
MIN_SIZE = 15


def cases(long: bool) -> Iterator[Case]:
    """Both directions on drawn and on real label images."""
    kinds = {
        "64 images 224 x 224 with 30 cells": partial(inputs.label_images, 64, 224, 30),
        "8 images 512 x 512 with 200 cells": partial(inputs.label_images, 8, 512, 200),
    }
    real = {}
    if inputs.has_real_images():
        for dataset in ("fluo", "histo"):
            real[f"64 real images {dataset}, 224 x 224"] = partial(inputs.real_label_images, dataset, 64, 224)
    for make in (to_flows, to_labels):
        for kind, draw in (kinds | real).items():
            yield make(kind, draw, 15 if kind in kinds else None)


def to_flows(kind: str, draw: Callable[[], Tensor], least_ratio: float | None) -> Case:
    """Target flows of a batch of label images."""
    return Case(
        "labels_to_flows",
        kind,
        draw,
        partial(inputs.label_images, 2, 64, 4),
        labels_to_flows,
        (Peer("cellpose 3", cellpose_flows, angles, Bar(least_ratio, agreement_to=1.0)),),
        count_heat,
    )


def to_labels(kind: str, draw: Callable[[], Tensor], least_ratio: float | None) -> Case:
    """Label images from noisy flows."""
    return Case(
        "flows_to_labels",
        f"{kind}, noisy flows",
        lambda: inputs.noisy_prediction(draw()),
        lambda: inputs.noisy_prediction(inputs.label_images(2, 64, 4)),
        lambda prediction: flows_to_labels(*prediction, steps=STEPS, min_size=MIN_SIZE),
        (Peer("cellpose 3", cellpose_labels, precision, Bar(least_ratio, agreement_from=0.99)),),
        count_euler,
    )


@quiet()
def cellpose_flows(labels: Tensor) -> Tensor:
    """Flows (B, 2, H, W) by Cellpose; it renumbers the labels it gets in place, so it gets a copy."""
    from cellpose import dynamics

    flows = dynamics.labels_to_flows(list(labels.numpy().copy()), device=CPU)
    return torch.from_numpy(np.stack([flow[2:] for flow in flows]))


@quiet()
def cellpose_labels(prediction: tuple[Tensor, Tensor]) -> Tensor:
    """Label images (B, H, W) by what Cellpose's ``eval`` calls, small cells removed and holes filled."""
    from cellpose import dynamics

    flows, logits = (part.numpy() for part in prediction)
    labels = [
        dynamics.resize_and_compute_masks(5 * flow, logit, niter=STEPS, min_size=MIN_SIZE, device=CPU)
        for flow, logit in zip(flows, logits, strict=True)
    ]
    return torch.from_numpy(np.stack(labels).astype(np.int32))


def angles(labels: Tensor, ours: Tensor, theirs: Tensor) -> Agreement:
    """Median angle between the flows in degrees, where both have one."""
    ours, theirs = ours.double(), theirs.double()
    both = (ours.norm(dim=1) > 0) & (theirs.norm(dim=1) > 0)
    # By the arc tangent: near 0 the arc cosine loses half of the digits.
    cross = (ours[:, 0] * theirs[:, 1] - ours[:, 1] * theirs[:, 0])[both]
    degrees = torch.rad2deg(torch.atan2(cross.abs(), (ours * theirs).sum(1)[both])).numpy()
    median, tail = np.percentile(degrees, (50, 99))
    return Agreement(f"angle: median {median:.2g}, 99 % below {tail:.2g} degrees", median)


@quiet()
def precision(_: tuple[Tensor, Tensor], ours: Tensor, theirs: Tensor) -> Agreement:
    """Average precision of our label images against theirs at IoU 0.9, mean over the images."""
    from cellpose import metrics

    scores = metrics.average_precision(list(theirs.numpy()), list(ours.numpy()), [0.9])[0]
    return Agreement(f"AP at IoU 0.9: {np.nanmean(scores):.4f}", float(np.nanmean(scores)))


def count_heat(labels: Tensor) -> Work:
    """Nine additions and a product a pixel and step of heat; labels are read and flows written once."""
    operations = 0
    for image in labels.numpy():
        areas = np.bincount(image.ravel())[1:]
        for area, (rows, columns) in zip(areas, ndimage.find_objects(image), strict=True):
            operations += 10 * area * 2 * (rows.stop - rows.start + columns.stop - columns.start + 4)
    return Work(operations, labels.nbytes + 8 * labels.numel())


def count_euler(prediction: tuple[Tensor, Tensor]) -> Work:
    """Two bilinear interpolations and a move, 26 operations, a pixel and step; flows are read, labels written once."""
    flows, logits = prediction
    return Work(26 * STEPS * int((logits > 0).sum()), flows.nbytes + 2 * logits.nbytes)
