"""Batches of training patches: drawn from several sources without replacement, and prepared ahead in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frugalseg.data.stores import Patches

Crops = tuple[Tensor, Tensor, Tensor]
"""Images, labels and flows of one step, as the network is given them."""


@dataclass(frozen=True)
class Source:
    """Selected patches of one dataset, in `share` percent of every batch; without, in proportion to their number."""

    name: str
    patches: Patches
    indices: np.ndarray | Tensor  # (M,) rows of the store
    share: float | None = None


@dataclass(frozen=True)
class Count:
    """How many patches of a source were given, left out for having too few cells, and used."""

    source: str
    given: int
    left_out: int
    used: int


@dataclass(frozen=True)
class Batch:
    """Patches of one step, as stored."""

    images: Tensor  # (B, C, H, W) float16
    labels: Tensor  # (B, H, W) int32
    flows: Tensor  # (B, 2, H, W) float16
    diameters: Tensor  # (B,) float32, mean of a patch's cells in pixels, 0 where there is none


class Sampler:
    """Draws the patches of every step.

    Sources without a share form one pool, each source with a share a pool of its own. A pool is shuffled, handed out
    to its end, and shuffled again. Of a batch of B a pool with a share of s percent fills B s / 100 patches on
    average and never a whole patch more or less (systematic sampling with one uniform number a batch).

    Patches with fewer than `min_cells` cells are left out, and counted in `counts`. `steps_per_epoch` is the number of batches
    in which the patches without a share are seen once; where every source has one, in which as many are drawn as there are.

    Raises
    ------
    ValueError
        When nothing remains of a source, when the shares leave no room or a gap, or when patches differ in size.
    """

    def __init__(self, sources: Sequence[Source], batch: int, min_cells: int, generator: torch.Generator) -> None:
        _check_shares(sources)
        _check_sizes(sources)
        used = [_with_enough_cells(source, min_cells) for source in sources]
        self.counts = [
            Count(source.name, len(source.indices), len(source.indices) - len(kept), len(kept))
            for source, kept in zip(sources, used, strict=True)
        ]
        self._sources = sources
        self._batch = batch
        self._generator = generator
        proportional = [k for k, source in enumerate(sources) if source.share is None]
        own = [k for k, source in enumerate(sources) if source.share is not None]
        groups = [[k] for k in own] + ([proportional] if proportional else [])
        self._pools = [_Pool(group, [used[k] for k in group]) for group in groups]
        # Expected patches of a batch up to and with each pool; the last pool takes what is left.
        self._bounds = [batch * total / 100 for total in np.cumsum([sources[k].share for k in own])]
        self._bounds[len(groups) - 1 :] = [float(batch)]
        room = self._bounds[-1] - (self._bounds[-2] if len(self._bounds) > 1 else 0.0)
        self.steps_per_epoch = len(self._pools[-1]) / room if proportional else sum(map(len, self._pools)) / batch
        self.mean_diameter = _mean_diameter(sources, used)

    def draw(self) -> Batch:
        """The next batch; patches of one source stand together."""
        parts = []
        for pool, size in zip(self._pools, self._pool_sizes(), strict=True):
            members, rows = pool.take(size, self._generator)
            for member in np.unique(members):
                parts.append(gather(self._sources[member].patches, rows[members == member]))
        return _concatenate(parts)

    def state_dict(self) -> dict[str, Tensor]:
        """Order and position of every pool."""
        return {
            f"{name}_{number}": tensor
            for number, pool in enumerate(self._pools)
            for name, tensor in (("order", pool.order), ("position", torch.tensor(pool.position)))
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where a sampler with the same sources was."""
        for number, pool in enumerate(self._pools):
            pool.order = state[f"order_{number}"]
            pool.position = int(state[f"position_{number}"])

    def _pool_sizes(self) -> list[int]:
        offset = torch.rand((), generator=self._generator).item()
        ends = [int(bound + offset) for bound in self._bounds]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]


class Feed:
    """Prepares `count` batches in a thread of its own, one ahead of what was taken.

    Batches are prepared one after another and nothing else uses the generator, so they are the same as without the
    thread. Where the feed stands is told by the last batch taken, not by the one in preparation.
    """

    def __init__(
        self, sampler: Sampler, generator: torch.Generator, augment: Callable[[Batch], Crops], count: int
    ) -> None:
        self._sampler, self._generator, self._augment = sampler, generator, augment
        self._left = count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: Future[tuple[Crops, dict[str, Any]]] | None = None
        self._state = self._standing()

    def take(self) -> Crops:
        """The next batch, or whatever error stopped its preparation; starts the preparation of the one after it."""
        if self._next is None:
            self._start()
        crops, self._state = self._next.result()
        self._next = None
        if self._left:
            self._start()
        return crops

    def state_dict(self) -> dict[str, Any]:
        """Generator and sampler as they were when the last batch taken was ready."""
        return self._state

    def load_state_dict(self, state: dict[str, Any], count: int) -> None:
        """Go on from where a feed of the same patches was, for `count` batches; before any batch is taken."""
        self._generator.set_state(state["generator"])
        self._sampler.load_state_dict(state["sampler"])
        self._state, self._left = state, count

    def _start(self) -> None:
        self._left -= 1
        self._next = self._thread.submit(self._prepare)

    def _prepare(self) -> tuple[Crops, dict[str, Any]]:
        return self._augment(self._sampler.draw()), self._standing()

    def _standing(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state(), "sampler": self._sampler.state_dict()}


class _Pool:
    """Patches that are shuffled together: parallel arrays of their source's number and their row in its store."""

    def __init__(self, members: list[int], rows: list[np.ndarray]) -> None:
        self._members = np.repeat(members, [len(r) for r in rows])
        self._rows = np.concatenate(rows)
        self.order = torch.empty(0, dtype=torch.int64)
        self.position = 0

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, size: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        taken = []
        while size > 0:
            if self.position == len(self.order):
                self.order = torch.randperm(len(self), generator=generator)
                self.position = 0
            taken.append(self.order[self.position : self.position + size])
            self.position += len(taken[-1])
            size -= len(taken[-1])
        chosen = torch.cat(taken).numpy() if taken else np.empty(0, np.int64)
        return self._members[chosen], self._rows[chosen]


def gather(patches: Patches, rows: np.ndarray) -> Batch:
    """Rows (B,) of a store as tensors."""
    return Batch(
        images=torch.from_numpy(np.asarray(patches.images[rows])),
        labels=torch.from_numpy(patches.labels[rows].astype(np.int32)),
        flows=torch.from_numpy(np.asarray(patches.flows[rows])),
        diameters=torch.from_numpy(patches.table["diameter"].to_numpy()[rows].astype(np.float32)),
    )


def pad_channels(images: Tensor, channels: int) -> Tensor:
    """Images (B, C, H, W) with zero channels appended up to `channels`, at least C."""
    missing = channels - images.shape[1]
    if missing < 0:
        raise ValueError(
            f"the patches have {images.shape[1]} channels and the network takes {channels}; "
            "cut the patches with fewer channels"
        )
    return torch.cat([images, images.new_zeros(len(images), missing, *images.shape[2:])], dim=1) if missing else images


def _concatenate(parts: list[Batch]) -> Batch:
    channels = max(part.images.shape[1] for part in parts)
    return Batch(
        images=torch.cat([pad_channels(part.images, channels) for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        flows=torch.cat([part.flows for part in parts]),
        diameters=torch.cat([part.diameters for part in parts]),
    )


def _with_enough_cells(source: Source, min_cells: int) -> np.ndarray:
    indices = np.asarray(source.indices, dtype=np.int64)
    kept = indices[source.patches.table["cells"].to_numpy()[indices] >= min_cells]
    if len(kept) == 0:
        raise ValueError(
            f"source {source.name!r}: none of its {len(indices)} patches has {min_cells} cells or more, so there is "
            "nothing to train on; lower patches.min_cells or raise the rate"
        )
    return kept


def _mean_diameter(sources: Sequence[Source], used: Sequence[np.ndarray]) -> float:
    diameters = [source.patches.table["diameter"].to_numpy()[rows] for source, rows in zip(sources, used, strict=True)]
    diameters = np.concatenate(diameters)
    return float(diameters[diameters > 0].mean()) if (diameters > 0).any() else 0.0


def _check_shares(sources: Sequence[Source]) -> None:
    shares = [source.share for source in sources if source.share is not None]
    total, names = sum(shares), ", ".join(source.name for source in sources)
    if len(shares) == len(sources) and shares and not np.isclose(total, 100):
        raise ValueError(f"sources {names}: every one has a share of the batch, but they add up to {total:g}, not 100")
    if len(shares) < len(sources) and total >= 100:
        raise ValueError(f"sources {names}: the shares add up to {total:g} percent; lower them to leave room for all")


def _check_sizes(sources: Sequence[Source]) -> None:
    first = sources[0]
    for source in sources:
        if source.patches.labels.shape[1:] != first.patches.labels.shape[1:]:
            raise ValueError(
                f"source {source.name!r} has patches of {source.patches.labels.shape[1:]} pixels and {first.name!r} of "
                f"{first.patches.labels.shape[1:]}; cut both to one size"
            )
