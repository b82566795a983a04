"""Greedy dataset quantization beside its plain forms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

import inputs
from case import Agreement, Bar, Case, Peer, Timed, Work
from frugalseg.kernels.quantize import greedy_bins
from plain import literal_bins, plain_picks

CYTO, MULTI, DIMENSIONS, BINS = 10_063, 128_458, 768, 10
LITERAL = 2_000
FEATURES = {
    "ViT-like": inputs.vit_like,
    "isotropic": inputs.isotropic,
    "clustered": inputs.clustered,
    "duplicate-ridden": inputs.duplicated,
}

# Bounds of the issue, in seconds and bytes; "3x the features" counts the features themselves.
CYTO_BYTES = 4 * CYTO * DIMENSIONS
SECONDS = {"sum": 0.6, "mean": 1.6}
MEMORY = {"sum": 2 * CYTO_BYTES, "mean": 0.7e9}


def cases(long: bool) -> Iterator[Case]:
    """All gains and kinds of features at the size of Cyto, eq. 1 as written, and with `long` the size of MultiInst."""
    kinds = FEATURES | ({"pixels of real images": inputs.real_pixels} if inputs.has_real_images() else {})
    for gain in ("sum", "mean"):
        for kind, draw in kinds.items():
            bar = Bar(seconds=SECONDS[gain], memory=MEMORY[gain])
            yield greedy(gain, kind, draw, CYTO, bar, least_ratio=5 if gain == "sum" else None)
    yield greedy("graphcut", "ViT-like", inputs.vit_like, CYTO, Bar(), None)
    yield literal()
    if long:
        for kind, draw in FEATURES.items():
            bar = Bar(seconds=30, memory=2e9)
            yield greedy("sum", kind, draw, MULTI, bar, None)


def greedy(
    gain: str, kind: str, draw: Callable[[int, int], Tensor], count: int, bar: Bar, least_ratio: float | None
) -> Case:
    """All bins, beside the plain matrix-vector form in float32 and float64, timed over the first of its picks."""
    picks = count // BINS + 1 if count == CYTO else 100
    return Case(
        f"greedy_bins {gain}, {BINS} bins",
        f"{kind}, N = {count:,}, D = {DIMENSIONS}",
        partial(draw, count, DIMENSIONS),
        partial(draw, 600, DIMENSIONS),
        partial(_ours, gain),
        (
            _plain_peer(gain, np.float32, picks, Bar(ratio=least_ratio)),
            _plain_peer(gain, np.float64, picks, Bar(seconds=bar.seconds, memory=bar.memory, agreement_from=picks)),
        ),
        lambda features: _count_plain(features, 4),
    )


def literal() -> Case:
    """Eq. 1 as it is written, at a size at which one can wait for it."""

    def theirs(features: Tensor) -> list[int]:
        return [pick for members in literal_bins(features.numpy(), BINS) for pick in members]

    peer = Peer("eq. 1 as written (NumPy, float64)", theirs, _same_picks, Bar(agreement_from=LITERAL), 1, torch.float64)
    return Case(
        f"greedy_bins sum, {BINS} bins",
        f"ViT-like, N = {LITERAL:,}, D = {DIMENSIONS}",
        partial(inputs.vit_like, LITERAL, DIMENSIONS),
        partial(inputs.vit_like, 60, DIMENSIONS),
        partial(_ours, "sum"),
        (peer,),
        lambda features: _count_plain(features, 4),
    )


def _ours(gain: str, features: Tensor) -> list[int]:
    return torch.cat(greedy_bins(features, BINS, gain)).tolist()


def _plain_peer(gain: str, precision: type[np.floating], picks: int, bar: Bar) -> Peer:
    def theirs(features: Tensor) -> Timed:
        rows = features.numpy().astype(precision)
        if gain == "graphcut":
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        start = time.perf_counter()
        result = plain_picks(rows, BINS, "mean" if gain == "mean" else "sum", picks)
        # Every pick multiplies the same matrix by a vector, so all take as long.
        return Timed((time.perf_counter() - start) * len(rows) / len(result), result)

    name = np.dtype(precision).name
    words = f"plain {name} matrix-vector form, extrapolated from {picks:,} picks"
    return Peer(words, theirs, _same_picks, bar, None, getattr(torch, name))


def _same_picks(_: Tensor, ours: list[int], theirs: list[int]) -> Agreement:
    same = sum(mine == peer for mine, peer in zip(ours, theirs, strict=False))
    return Agreement(f"{same:,} of the first {len(theirs):,} picks", same)


def _count_plain(features: Tensor, bytes_per_number: int) -> Work:
    """The plain form: N products of the features with a vector."""
    products = len(features) * features.numel()
    return Work(2 * products, bytes_per_number * products)
