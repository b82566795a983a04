"""Are the picks of `greedy_bins` those of the plain form? ``python benchmarks/exactness.py``, some minutes.

Every pick is compared with the one that a float64 matrix-vector product over all patches left over finds after the same
picks. Where its rounding errors leave several patches open, the exact gains decide, in integers of any length; where
these tie, the smallest index. At N = 10,063 every pick of the order is compared, at N = 128,458 random ones, from sums
that are taken anew.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import inputs
from frugalseg.data.normalize import normalize
from frugalseg.kernels.quantize import greedy_bins
from frugalseg.selection.features import embed
from measure import set_threads
from plain import bin_sizes
from report import markdown

CYTO, MULTI, DIMENSIONS, BINS, STEPS = 10_063, 128_458, 768, 10, 200
KINDS = {
    "isotropic": inputs.isotropic,
    "clustered": inputs.clustered,
    "ViT-like": inputs.vit_like,
    "duplicate-ridden": inputs.duplicated,
}
WINDOW = 64
#: Part of the terms of a gain that float64 may lose in a sum over the dimensions, generously.
ROUNDING = 1e-11


class Plain:
    """The plain form: the best of all patches left over, after given picks.

    Parameters
    ----------
    features : ndarray, shape (N, D), float32
    picks : ndarray, shape (N,)
        The order to compare with.
    gain : {"sum", "mean"}
    """

    def __init__(self, features: NDArray[np.float32], picks: NDArray[np.int64], gain: str) -> None:
        self.features, self.picks, self.gain = features, picks, gain
        self.centred = features.astype(np.float64)
        self.centred -= self.centred.mean(0)
        self.squared = np.square(self.centred).sum(1)
        self.open = 0  # Picks that the exact gains had to decide.

    def best(self, start: int, step: int, own: NDArray[np.float64], pool: NDArray[np.float64]) -> int:
        """The pick at `step`, given the centred sums of the bin that began at `start`, and of the pool at its start."""
        count, k = len(self.picks), step - start
        if self.gain == "sum":
            alpha, vector = 2 * k - (count - start), 2 * pool - 4 * own
        elif k == 0:
            alpha, vector = -count, np.zeros_like(own)
        else:
            alpha, vector = 0, -count * own
        gains = self.centred @ vector + alpha * self.squared
        gains[self.picks[:step]] = -np.inf
        terms = abs(alpha) * self.squared.max() + np.linalg.norm(vector) * np.sqrt(self.squared.max())
        rivals = np.flatnonzero(gains >= gains.max() - ROUNDING * terms)
        if len(rivals) == 1:
            return int(rivals[0])
        return self._decide(rivals, start, step)

    def _decide(self, rivals: NDArray[np.int64], start: int, step: int) -> int:
        """The one of the rivals, ascending, with the largest exact gain."""
        _, firsts = np.unique(self.features[rivals], axis=0, return_index=True)
        rivals = rivals[np.sort(firsts)]  # The first of equal patches.
        if len(rivals) == 1:
            return int(rivals[0])
        self.open += 1
        count, k = len(self.picks), step - start
        own = integers(self.features[self.picks[start:step]]).sum(0) if k else 0
        pool = integers(self.features[self.picks[start:] if self.gain == "sum" else self.picks]).sum(0)
        gains = []
        for row in integers(self.features[rivals]):
            if self.gain == "sum":
                gains.append((2 * k - (count - start)) * (row @ row) + row @ (2 * pool - 4 * own))
            elif k == 0:
                gains.append(-count * (row @ row) + 2 * (row @ pool))
            else:
                gains.append(row @ (k * pool - count * own))
        return int(rivals[gains.index(max(gains))])


def integers(rows: NDArray[np.float32]) -> NDArray[np.object_]:
    """float32 numbers times 2^149 as Python integers: exact, whatever their size."""
    whole = np.ldexp(rows.astype(np.float64), 149)
    return np.array([[int(number) for number in row] for row in whole], dtype=object)


def starts_of_bins(count: int) -> NDArray[np.int64]:
    """Step at which each bin begins, and N."""
    return np.cumsum([0, *bin_sizes(count, BINS)])


def replay_all(plain: Plain) -> Iterable[tuple[int, int]]:
    """Every step and the plain form's pick at it, sums carried along."""
    starts = starts_of_bins(len(plain.picks))
    for start, stop in itertools.pairwise(starts):
        own, pool = np.zeros_like(plain.centred[0]), plain.centred[plain.picks[start:]].sum(0)
        for step in range(start, stop):
            yield step, plain.best(start, step, own, pool)
            own += plain.centred[plain.picks[step]]


def replay_some(plain: Plain, steps: int) -> Iterable[tuple[int, int]]:
    """Random steps and the plain form's pick at each, from sums taken anew."""
    starts = starts_of_bins(len(plain.picks))
    for step in np.sort(np.random.default_rng(0).choice(len(plain.picks), steps, replace=False)):
        start = starts[np.searchsorted(starts, step, side="right") - 1]
        own = plain.centred[plain.picks[start:step]].sum(0)
        yield step, plain.best(start, step, own, plain.centred[plain.picks[start:]].sum(0))


def compare(kind: str, gain: str, features: torch.Tensor, steps: int | None) -> dict[str, Any]:
    """One row of the table: all picks compared, or `steps` random ones."""
    picks = torch.cat(greedy_bins(features, BINS, gain)).numpy()
    plain = Plain(features.numpy(), picks, gain)
    compared, first = 0, "none"
    for step, pick in replay_all(plain) if steps is None else replay_some(plain, steps):
        compared += 1
        if pick != picks[step]:
            first = f"pick {step}: {picks[step]}, plain {pick}"
            break
    return {
        "features": kind,
        "gain": gain,
        "N": f"{len(features):,}",
        "D": features.shape[1],
        "picks compared": f"{compared:,}",
        "decided by exact gains": plain.open,
        "first difference": first,
    }


def autoencoder_features(checkpoint: Path, count: int) -> torch.Tensor:
    """Features of squares of real images, fluorescence and stained in turn, by a trained masked autoencoder."""
    squares, found = [], 0
    pairs = zip(inputs.real_samples("fluo", "train"), inputs.real_samples("histo", "train"), strict=False)
    for sample in (sample for pair in pairs for sample in pair):
        pixels = torch.from_numpy(normalize(np.asarray(sample.pixels, dtype=np.float32)).mean(0))
        tiles = pixels.unfold(0, WINDOW, WINDOW // 4).unfold(1, WINDOW, WINDOW // 4)
        squares.append(tiles.reshape(-1, 1, WINDOW, WINDOW).half())
        found += len(squares[-1])
        if found >= count:
            break
    images = torch.cat(squares)[:count].numpy()
    return torch.from_numpy(embed(_Squares(images=images), checkpoint))


class _Squares(SimpleNamespace):
    """As much of a patch store as the encoder looks at."""

    def __len__(self) -> int:
        return len(self.images)


def rows(checkpoint: Path | None, long: bool) -> Iterable[dict[str, Any]]:
    """The rows of the table, as they are made."""
    for kind, draw in KINDS.items():
        for gain in ("sum", "mean"):
            yield compare(kind, gain, draw(CYTO, DIMENSIONS), None)
    if checkpoint is not None:
        features = autoencoder_features(checkpoint, CYTO)
        for gain in ("sum", "mean"):
            yield compare("masked autoencoder, real images", gain, features, None)
    if long:
        for gain in ("sum", "mean"):
            yield compare("ViT-like", gain, inputs.vit_like(MULTI, DIMENSIONS), STEPS)


def main() -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="folder of a ViT-MAE, such as results/STUDY/mae")
    parser.add_argument("--long", action="store_true", help="also N = 128,458")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch and numba")
    options = parser.parse_args()
    set_threads(options.threads)
    if options.checkpoint is None or not inputs.has_real_images():
        print("no features of a masked autoencoder: name its folder by --checkpoint, and see FRUGALSEG_REAL_DATA")
        options.checkpoint = None
    table = []
    for row in rows(options.checkpoint, options.long):
        print(row, flush=True)
        table.append(row)
    print(markdown(table))
    return table


if __name__ == "__main__":
    main()
