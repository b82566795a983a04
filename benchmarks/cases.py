"""What is timed: our code and a peer's on the same inputs, and how far the two agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cellpose import dynamics, metrics
from cellpose.resnet_torch import CPnet

from frugalseg.data.synthetic import draw
from frugalseg.evaluation.metrics import Overlaps, instance_metrics
from frugalseg.kernels.flows import flows_to_labels, labels_to_flows
from frugalseg.kernels.quantize import greedy_bins
from frugalseg.models import build
from frugalseg.training.losses import flow_and_logit_loss
from frugalseg.training.run import autocast_type

CPU = torch.device("cpu")
THRESHOLDS = np.arange(0.5, 1.0, 0.05)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    work, peer : str
        What is done, and who else does it.
    ours, theirs : callable
        Do it once and return the result.
    agreement : callable
        Both results -> a few words.
    """

    work: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    agreement: Callable[[Any, Any], str]


def cases() -> Iterator[Case]:
    """Every case, its inputs drawn when it is its turn."""
    yield quantization("sum")
    yield quantization("mean")
    yield flows_from_labels(size=224, count=16)
    yield labels_from_flows(size=224, count=16)
    yield scores(size=512)
    yield training_step("small net 16-32-64, batch 8, 128 x 128", (16, 32, 64), 128)
    yield training_step("default net, batch 8, 224 x 224", (32, 64, 128, 256), 224)


def vit_like(patches: int, width: int) -> torch.Tensor:
    """Features with a decaying spectrum (eigenvalues as i^-1.5) and a large mean, (patches, width) float32."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    scales = torch.arange(1, width + 1) ** -0.75
    return torch.randn(patches, width, generator=generator) * scales @ basis + torch.randn(width, generator=generator)


def quantization(gain: str) -> Case:
    """Ten bins of 10,063 patches, against a matrix-vector product a pick."""
    features = vit_like(10_063, 768)

    def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> str:
        return (
            f"{np.mean([torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)]):.0%} of bins equal, pick by pick"
        )

    return Case(
        f"greedy_bins {gain}, N = 10,063, D = 768",
        "plain float64 matrix-vector form",
        lambda: greedy_bins(features, 10, gain),
        lambda: plain_bins(features.double(), 10, gain),
        same,
    )


def plain_bins(features: torch.Tensor, bins: int, gain: str) -> list[torch.Tensor]:
    """Greedy bins in closed form, one matrix-vector product a pick."""
    x = features - features.mean(0)
    count = len(x)
    squares = (x * x).sum(1)
    free = torch.ones(count, dtype=torch.bool)
    pool_sum, result = x.sum(0), []
    for number in range(bins):
        size = count // bins + (number < count % bins)
        # Twice the summed (or mean) products with the bin; the pool as it was when the bin was opened.
        pool = int(free.sum()) if gain == "sum" else count
        whole = x @ pool_sum if gain == "sum" else torch.zeros(count, dtype=x.dtype)
        picks, with_bin, square_sum = [], torch.zeros(count, dtype=x.dtype), 0.0
        for k in range(size):
            if gain == "sum":
                score = (2 * k - pool) * squares - 4 * with_bin + 2 * whole
            else:
                score = -squares if k == 0 else square_sum / k - 2 * with_bin / k
            pick = int(torch.where(free, score, -torch.inf).argmax())
            picks.append(pick)
            free[pick] = False
            with_bin += x @ x[pick]
            square_sum += float(squares[pick])
        result.append(torch.tensor(picks))
        pool_sum = x[free].sum(0)
    return result


def flows_from_labels(size: int, count: int) -> Case:
    """Target flows of a batch of label images."""
    labels = label_images(size, count)

    def angle(ours: torch.Tensor, theirs: list[np.ndarray]) -> str:
        peer = torch.from_numpy(np.stack([flow[2:4] for flow in theirs]))
        inside = (labels > 0) & (ours.norm(dim=1) > 0) & (peer.norm(dim=1) > 0)
        cosine = (ours * peer).sum(1)[inside].clamp(-1, 1)
        return f"median angle {torch.rad2deg(cosine.acos()).median():.2g} degrees"

    return Case(
        f"labels to flows, {count} images of {size} x {size}",
        "cellpose 3",
        lambda: labels_to_flows(labels),
        lambda: dynamics.labels_to_flows([image.numpy() for image in labels], device=CPU),
        angle,
    )


def labels_from_flows(size: int, count: int) -> Case:
    """Label images from noisy flows, as a network would predict them."""
    labels = label_images(size, count)
    generator = torch.Generator().manual_seed(0)
    flows = labels_to_flows(labels)
    flows = flows + 0.2 * torch.randn(flows.shape, generator=generator)
    logits = torch.where(labels > 0, 4.0, -4.0) + torch.randn(labels.shape, generator=generator)

    def theirs() -> list[np.ndarray]:
        pairs = zip(flows.numpy(), logits.numpy(), strict=True)
        return [dynamics.compute_masks(5 * flow, logit, device=CPU) for flow, logit in pairs]

    def precision(ours: torch.Tensor, theirs: list[np.ndarray]) -> str:
        mine = [image.numpy() for image in ours]
        return f"AP at IoU 0.9 {metrics.average_precision(theirs, mine, [0.9])[0].mean():.3f}"

    return Case(
        f"flows to labels, {count} images of {size} x {size}",
        "cellpose 3",
        lambda: flows_to_labels(flows, logits),
        theirs,
        precision,
    )


def scores(size: int) -> Case:
    """AP at ten thresholds, PQ and AJI of one image (the peer has no PQ)."""
    truth = label_images(size, 1)[0].numpy()
    prediction = np.roll(truth, (2, 1), axis=(0, 1))

    def theirs() -> float:
        precision = metrics.average_precision([truth], [prediction], THRESHOLDS)[0]
        metrics.aggregated_jaccard_index([truth], [prediction])
        return float(precision.mean())

    return Case(
        f"AP at 10 thresholds, PQ, AJI, {size} x {size}, {truth.max()} cells",
        "cellpose 3 (without PQ)",
        lambda: instance_metrics(Overlaps.of(torch.from_numpy(truth), torch.from_numpy(prediction))),
        theirs,
        lambda ours, peer: f"AP differs by {abs(ours['ap'] - peer):.1g}",
    )


def training_step(work: str, widths: tuple[int, ...], size: int) -> Case:
    """Forward, loss, backward and update of the network, in the precision that ``auto`` chooses."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 2, size, size, generator=generator)
    labels = label_images(size, 8)
    flows = labels_to_flows(labels)
    ours = build("cpnet", 2, 3, widths=widths, generator=generator).to(memory_format=torch.channels_last)
    theirs = CPnet([2, *widths], 3, 3)
    precision = autocast_type("auto", CPU)

    def step(network: torch.nn.Module, inputs: torch.Tensor, precision: torch.dtype | None) -> Callable[[], float]:
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=network is ours)

        def run() -> float:
            with torch.autocast("cpu", precision, enabled=precision is not None):
                output = network(inputs)
            loss = flow_and_logit_loss(output if isinstance(output, torch.Tensor) else output[0], labels, flows)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss.item()

        return run

    return Case(
        f"network step, {work}",
        "cellpose 3's network, float32",
        step(ours, images.contiguous(memory_format=torch.channels_last), precision),
        step(theirs, images, None),
        lambda ours, theirs: f"losses {ours:.2f} and {theirs:.2f}",
    )


def label_images(size: int, count: int) -> torch.Tensor:
    """Label images of the synthetic microscope, (count, size, size) int64."""
    drawn = draw("cyto", count, size, seed=1, split="benchmark")
    return torch.from_numpy(np.stack([labels for _, _, labels in drawn])).long()
