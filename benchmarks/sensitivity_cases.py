"""Norms of input gradients for a scan of widths, beside the loop over images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from case import Agreement, Bar, Case, Peer, Work
from frugalseg.kernels.sensitivity import input_gradient_norm
from frugalseg.models import build
from frugalseg.widths import scan as width_scan
from roofline import count_network

CAPS = tuple(2**power for power in range(9, -1, -1))
IMAGES, SIZE = 16, 256
SEEDS = range(5)

#: Networks of all caps, and images (B, 1, H, W).
Scan = tuple[list[nn.Module], Tensor]


def cases(long: bool) -> Iterator[Case]:
    """All caps at the size of the paper."""
    yield Case(
        "input_gradient_norm, caps 512 to 1",
        f"{IMAGES} images {SIZE} x {SIZE}",
        partial(scan, IMAGES, SIZE),
        partial(scan, 2, 64),
        lambda drawn: torch.stack([input_gradient_norm(model, drawn[1]) for model in drawn[0]]),
        (
            Peer("loop over images, backward()", by_backward, same_norms, Bar(ratio=1.5), 1),
            Peer("loop over images, gradient of the input alone", by_gradient, same_norms, Bar(), 1),
        ),
        count_scan,
    )
    if long:
        yield Case(
            f"width scan, caps 512 to 1, {len(SEEDS)} seeds",
            f"{IMAGES} images {SIZE} x {SIZE}",
            partial(draw_images, IMAGES, SIZE),
            partial(draw_images, 2, 64),
            lambda images: torch.tensor(width_scan.values(width_scan.scan(images, SEEDS, CAPS))),
            (Peer("loop over images, backward()", scan_by_backward, same_scan, Bar(), 1),),
            count_seeds,
        )


def draw_images(count: int, size: int) -> Tensor:
    """Noise for images."""
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))


def scan_by_backward(images: Tensor) -> Tensor:
    """Norms (seeds, caps, B), one backward pass an image."""
    size = images.shape[-1]
    norms = []
    for seed in SEEDS:
        models = [
            build(f"unet-cap{cap}", 1, 2, (size, size), generator=torch.Generator().manual_seed(seed)) for cap in CAPS
        ]
        norms.append(by_backward(([model.train() for model in models], images)))
    return torch.stack(norms)


def same_scan(_: Tensor, ours: Tensor, theirs: Tensor) -> Agreement:
    """Largest relative difference of a norm."""
    return same_norms(([], _), ours, theirs)


def count_seeds(images: Tensor) -> Work:
    """The work of one seed, once a seed."""
    one = count_scan(([], images))
    return Work(len(SEEDS) * one.operations, len(SEEDS) * one.bytes)


def scan(count: int, size: int) -> Scan:
    """The networks at initialisation, and noise for images."""
    generator = torch.Generator().manual_seed(0)
    models = [build(f"unet-cap{cap}", 1, 2, (size, size), generator=generator).train() for cap in CAPS]
    return models, torch.randn(count, 1, size, size, generator=generator)


def by_backward(drawn: Scan) -> Tensor:
    """Norms (caps, B), one backward pass an image, gradients of the weights and all."""
    norms = []
    for model in drawn[0]:
        for image in drawn[1].split(1):
            leaf = image.clone().requires_grad_()
            model.zero_grad()
            model(leaf).sum().backward()
            norms.append(leaf.grad.norm())
    return torch.stack(norms).view(len(drawn[0]), -1)


def by_gradient(drawn: Scan) -> Tensor:
    """Norms (caps, B), one backward pass an image, without the gradients of the weights."""
    norms = []
    for model in drawn[0]:
        for image in drawn[1].split(1):
            leaf = image.clone().requires_grad_()
            norms.append(torch.autograd.grad(model(leaf).sum(), leaf)[0].norm())
    return torch.stack(norms).view(len(drawn[0]), -1)


def same_norms(_: Scan, ours: Tensor, theirs: Tensor) -> Agreement:
    """Largest relative difference of a norm."""
    difference = float(((ours - theirs).abs() / theirs).max())
    return Agreement(f"norms differ by {difference:.1g} at most, relative", difference)


def count_scan(drawn: Scan) -> Work:
    """All networks on all images, operation by operation, without the gradients of the weights."""
    size = drawn[1].shape[-1]
    with torch.device("meta"):
        models = [build(f"unet-cap{cap}", 1, 2, (size, size)).requires_grad_(False) for cap in CAPS]
        leaf = torch.empty(drawn[1].shape, requires_grad=True)
    return count_network(lambda: [model(leaf).sum().backward() for model in models])
