"""Inference of whole real images beside Cellpose 3's ``eval``: network, tiles and dynamics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial

import torch

import inference_case
import inputs
from case import Agreement, Bar, Case, Peer, Work, quiet
from frugalseg.evaluation.samples import prediction_scale
from frugalseg.training.run import autocast_type
from frugalseg.training.stage import load_network
from roofline import count_network

#: Images of each of two datasets.
IMAGES = 25


def cases(long: bool) -> Iterator[Case]:
    """Fifty images, where there are real images."""
    if inputs.has_real_images():
        yield Case(
            "inference, network and dynamics",
            f"{2 * IMAGES} real images",
            partial(calls, IMAGES),
            partial(calls, 1),
            lambda sides: sides[0](),
            (Peer("cellpose 3 eval", cellpose_eval, same_cells, Bar(ratio=3, agreement_from=0.95), 2),),
            count_forward,
            autocast_type("auto", torch.device("cpu")) or torch.float32,
        )


def calls(images_per_dataset: int) -> tuple:
    """Both sides and their agreement, for a checkpoint that is trained when there is none."""
    return inference_case.inference_calls(inference_case.trained_checkpoint(), images_per_dataset=images_per_dataset)


@quiet()
def cellpose_eval(sides: tuple) -> inference_case.Labels:
    """Label images by Cellpose."""
    return sides[1]()


def same_cells(sides: tuple, ours: inference_case.Labels, theirs: inference_case.Labels) -> Agreement:
    """Average precision at IoU 0.9 of ours against theirs, by dataset; the lower one counts."""
    scores: Mapping[str, float] = sides[2](ours, theirs)
    return Agreement(
        "AP at IoU 0.9: " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items()), min(scores.values())
    )


def count_forward(_: tuple) -> Work:
    """One forward pass an image at the network's scale, in float32, operation by operation."""
    network = load_network(inference_case.NETWORK, inference_case.trained_checkpoint()).eval()
    scale, stride = prediction_scale(network), network.stride
    network = network.to("meta")
    works = []
    for dataset in inference_case.DATASETS:
        for sample in inference_case.samples(inputs.REAL_DATA, dataset, "test", IMAGES):
            sides = [math.ceil(side * scale / stride) * stride for side in sample.labels.shape]
            image = torch.empty(1, network.in_channels, *sides, device="meta")
            with torch.no_grad():
                works.append(count_network(partial(network, image)))
    return Work(sum(work.operations for work in works), sum(work.bytes for work in works))
