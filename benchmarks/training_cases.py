"""Steps of training beside Cellpose 3: the whole step through its ``train_seg``, and the network alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from case import Agreement, Bar, Case, Peer, Timed, Work, quiet
from frugalseg.data.normalize import normalize
from frugalseg.data.stores import PatchWriter, open_patches
from frugalseg.data.synthetic import draw
from frugalseg.kernels.flows import labels_to_flows
from frugalseg.models import build
from frugalseg.training.losses import flow_and_logit_loss
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run, autocast_type
from frugalseg.training.sampling import Source
from roofline import count_network

CPU = torch.device("cpu")
BATCH, CHANNELS, OUTPUTS = 8, 2, 3
SGD = {"momentum": 0.9, "weight_decay": 1e-4}
#: Name of a network, its widths, side of its patches, steps of a timing, repeats of the peer, least ratio.
NETWORKS = (
    ("small net 16-32-64", (16, 32, 64), 128, 8, None, 2.0),
    ("default net 32-64-128-256", (32, 64, 128, 256), 224, 1, 2, 3.3),
)


def cases(long: bool) -> Iterator[Case]:
    """Both networks, the whole step and the network alone."""
    precision = autocast_type("auto", CPU) or torch.float32
    for name, widths, size, steps, repeats, ratio in NETWORKS:
        words = f"{name}, batch {BATCH}, {size} x {size}"
        count = partial(_count_step, widths, size)
        toy_size = 2 ** len(widths) * 2
        yield Case(
            "training step",
            words,
            partial(Training, widths, size, steps),
            partial(Training, widths, toy_size, 1),
            Training.ours,
            (Peer("cellpose 3 train_seg", Training.theirs, _losses, Bar(ratio=ratio), repeats),),
            count,
            precision,
        )
        yield Case(
            "network step (forward, loss, backward, update)",
            words,
            partial(_networks, widths, size),
            partial(_networks, widths, toy_size),
            lambda pair: pair[0](),
            (Peer("cellpose 3's network, float32", lambda pair: pair[1](), _losses, Bar(), repeats),),
            count,
            precision,
        )


class Training:
    """One set of patches and two trainings of the same initial weights on it.

    Parameters
    ----------
    widths : sequence of int
        Of the network.
    size : int
        Side of patches and crops in pixels.
    steps : int
        Optimiser steps of a call.
    """

    def __init__(self, widths: Sequence[int], size: int, steps: int) -> None:
        from cellpose.resnet_torch import CPnet

        self.steps, self.size = steps, size
        self._folder = tempfile.TemporaryDirectory()
        images, labels = _patches(BATCH * (steps + 1), size)
        # Two channels, the second zero, is what Cellpose gives its network for grey images.
        self._images = [np.concatenate([image, np.zeros_like(image)]) for image in images]
        self._labels = list(labels)
        model = build("cpnet", CHANNELS, OUTPUTS, widths=tuple(widths), generator=torch.Generator().manual_seed(0))
        self._peer = CPnet([CHANNELS, *widths], OUTPUTS, 3)
        self._peer.load_state_dict(model.state_dict())
        recipe = Recipe(steps=1_000_000, batch=BATCH, crop=size, schedule="warmup", **SGD)
        patches = _store(Path(self._folder.name), images, labels)
        self._run = Run(model, [Source("cyto", patches, np.arange(len(patches)))], recipe, 0, 0, [], CPU)

    def ours(self) -> Timed:
        """Seconds of a step, and the mean loss."""
        start = time.perf_counter()
        losses = [self._run.advance() for _ in range(self.steps)]
        return Timed((time.perf_counter() - start) / self.steps, float(torch.stack(losses).mean()))

    @quiet()
    def theirs(self) -> Timed:
        """Seconds between the first and the last forward pass of one epoch, by step, and the mean loss."""
        from cellpose.train import train_seg

        moments = []
        hook = self._peer.register_forward_pre_hook(lambda *_: moments.append(time.perf_counter()))
        _, losses, _ = train_seg(
            self._peer,
            train_data=self._images,
            train_labels=self._labels,
            batch_size=BATCH,
            n_epochs=1,
            SGD=True,
            **SGD,
            normalize=False,
            rescale=False,
            bsize=self.size,
            min_train_masks=0,
            save_path=self._folder.name,
        )
        hook.remove()
        return Timed((moments[-1] - moments[0]) / self.steps, float(losses[0]))


@dataclass(frozen=True)
class _Step:
    """Forward, loss, backward and update of a network on one batch."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    images: Tensor
    labels: Tensor
    flows: Tensor
    precision: torch.dtype | None

    def __call__(self) -> float:
        with torch.autocast("cpu", self.precision, enabled=self.precision is not None):
            output = self.network(self.images)
        # Cellpose's network gives its style, too.
        output = output if isinstance(output, Tensor) else output[0]
        loss = flow_and_logit_loss(output, self.labels, self.flows)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def _networks(widths: Sequence[int], size: int) -> tuple[_Step, _Step]:
    """Ours as it is trained, and Cellpose's in float32, with the same weights."""
    from cellpose.resnet_torch import CPnet

    images, labels = (torch.from_numpy(part) for part in _patches(BATCH, size))
    images, flows = torch.cat([images, torch.zeros_like(images)], 1), labels_to_flows(labels)
    ours = build("cpnet", CHANNELS, OUTPUTS, widths=tuple(widths), generator=torch.Generator().manual_seed(0))
    peer = CPnet([CHANNELS, *widths], OUTPUTS, 3)
    peer.load_state_dict(ours.state_dict())
    ours = ours.to(memory_format=torch.channels_last)
    fused = torch.optim.SGD(ours.parameters(), lr=0.001, fused=True, **SGD)
    plain = torch.optim.SGD(peer.parameters(), lr=0.001, **SGD)
    nearby = images.contiguous(memory_format=torch.channels_last)
    return (
        _Step(ours, fused, nearby, labels, flows, autocast_type("auto", CPU)),
        _Step(peer, plain, images, labels, flows, None),
    )


def _patches(count: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Images (count, 1, size, size), normalised, and their labels (count, size, size) of the synthetic microscope."""
    drawn = [(image, labels) for _, image, labels in draw("cyto", count, max(size, 64), seed=1, split="benchmark")]
    images = [normalize(image[None].astype(np.float32))[:, :size, :size] for image, _ in drawn]
    return np.stack(images).astype(np.float32), np.stack([labels[:size, :size] for _, labels in drawn])


def _store(folder: Path, images: NDArray[np.float32], labels: NDArray[np.int32]):
    table = pd.DataFrame({"patch": range(len(images)), "image": "drawn", "y": 0, "x": 0})
    with PatchWriter(folder, table, 1, images.shape[-1]) as writer:
        writer.add(images, labels, labels_to_flows(torch.from_numpy(labels)).numpy())
    return open_patches(folder)


def _losses(_: object, ours: float, theirs: float) -> Agreement:
    return Agreement(f"losses {ours:.3f} and {theirs:.3f} from the same weights")


def _count_step(widths: Sequence[int], size: int, _: object) -> Work:
    """A step of Cellpose's network in float32, operation by operation."""
    from cellpose.resnet_torch import CPnet

    with torch.device("meta"):
        network = CPnet([CHANNELS, *widths], OUTPUTS, 3)
        images = torch.empty(BATCH, CHANNELS, size, size)
    return count_network(lambda: network(images)[0].sum().backward())
