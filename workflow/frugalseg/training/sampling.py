"""Batches of training patches, drawn from several sources without replacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from frugalseg.data.stores import Patches


@dataclass(frozen=True)
class Source:
    """Patches of one data set that a stage trains on.

    Attributes
    ----------
    name : str
        As the chain spells it, for messages and counts.
    patches : Patches
        The store.
    indices : ndarray or LongTensor
        (M,) rows of the store that were selected.
    share : float or None
        Percent of every batch; None: drawn in proportion, together with the other sources that have no share.
    """

    name: str
    patches: Patches
    indices: np.ndarray | Tensor
    share: float | None = None


@dataclass(frozen=True)
class Count:
    """What became of the selected patches of one source.

    Attributes
    ----------
    source : str
        Name of the source.
    given : int
        Patches selected.
    left_out : int
        Those with fewer cells than training asks for.
    used : int
        The others.
    """

    source: str
    given: int
    left_out: int
    used: int


@dataclass(frozen=True)
class Batch:
    """Patches of one step, as stored: images (B, C, H, W) float16, labels (B, H, W) int32, flows (B, 2, H, W) float16,
    and the mean diameter of each patch in pixels (B,) float32, 0 where there is no cell.
    """

    images: Tensor
    labels: Tensor
    flows: Tensor
    diameters: Tensor


class Sampler:
    """Draws the patches of every step.

    Sources without a share form one pool, each source with a share a pool of its own. A pool is shuffled, handed out
    to its end, and shuffled again. Of a batch of B a pool with a share of s percent fills B s / 100 patches on
    average and never a whole patch more or less (systematic sampling with one uniform number a batch).

    Parameters
    ----------
    sources : sequence of Source
        At least one.
    batch : int
        Patches a batch.
    min_cells : int
        Patches with fewer cells are left out, and counted.
    generator : torch.Generator
        On the CPU; what it will draw is not part of `state_dict`.

    Attributes
    ----------
    counts : list of Count
        One a source.
    steps_per_epoch : float
        Batches in which the patches without a share are seen once; where every source has one, in which as many
        patches are drawn as there are.

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
    """Rows of a store as tensors.

    Parameters
    ----------
    patches : Patches
        The store.
    rows : ndarray
        (B,) integer.
    """
    return Batch(
        images=torch.from_numpy(np.asarray(patches.images[rows])),
        labels=torch.from_numpy(patches.labels[rows].astype(np.int32)),
        flows=torch.from_numpy(np.asarray(patches.flows[rows])),
        diameters=torch.from_numpy(patches.table["diameter"].to_numpy()[rows].astype(np.float32)),
    )


def pad_channels(images: Tensor, channels: int) -> Tensor:
    """Images (B, C, H, W) with zero channels appended up to `channels`.

    Raises
    ------
    ValueError
        When the images have more channels than that.
    """
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
