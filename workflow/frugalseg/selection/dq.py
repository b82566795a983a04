"""Dataset quantization (Zhou et al., ICCV 2023; Zhao & Chen, arXiv 2511.04803)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from frugalseg.kernels.quantize import greedy_bins

NEEDS = "features"
METHODS = (
    "was dataset quantization [@quantization] with {{ GAINS[gain] }}: patches were divided greedily into {{ bins }} bins, and "
    "a coreset takes the same share of every bin, {{ 'in the order of selection' if sample == 'head' else 'in random order' }}"
)
METHODS_AGAIN = "differs from *{{ first }}* in using {{ GAINS[gain] }}"
GAINS = {
    "sum": "the submodular gain of @study, eq. 1",
    "mean": "the mean-distance gain of the public code of @study",
    "graphcut": "that gain on normalised features",
}
CITES = {
    "quantization": "Zhou et al. 2023, Dataset quantization, IEEE/CVF International Conference on Computer Vision",
    "study": "Zhao & Chen 2025, Data efficiency and transfer robustness in biomedical image segmentation: a study of redundancy "
    "and forgetting with Cellpose, arXiv:2511.04803",
}
OPTIONS = {
    "gain": {
        "enum": ["sum", "mean", "graphcut"],
        "default": "sum",
        "description": "sum: equation 1 of the study; mean: the rule of its public script; graphcut: sum on normalised features.",
    },
    "sample": {
        "enum": ["head", "random"],
        "default": "head",
        "description": "The patches of a bin in the order they were picked, or shuffled.",
    },
}


def dq(
    features: Tensor,
    patches: pd.DataFrame | None,
    seed: int,
    *,
    gain: str = "sum",
    bins: int = 10,
    sample: str = "head",
) -> tuple[Tensor, Tensor]:
    """Order that takes from all bins in turn: the first of every bin, then the second of every bin, and so on.

    Bins differ by at most one in size, larger bins first, so the coreset of rate r, which is the first
    max(1, floor(r |S_n|)) of every bin S_n, is a prefix.

    Bins are filled by a `gain`, see `greedy_bins`, and each is taken in greedy order (`sample` ``head``, the study's script) or in
    random order (``random``, Zhou et al.).
    """
    if sample not in ("head", "random"):
        raise ValueError(f"unknown sample {sample!r}: choose head or random")
    members = greedy_bins(features, bins, gain)
    if sample == "random":
        generator = torch.Generator().manual_seed(seed)
        members = [member[torch.randperm(len(member), generator=generator)] for member in members]
    member_bins = torch.cat([torch.full_like(member, number) for number, member in enumerate(members)])
    turns = torch.cat([torch.arange(len(member)) for member in members])
    # Stable: within a turn the bins keep their order.
    by_turn = turns.argsort(stable=True)
    return torch.cat(members)[by_turn], member_bins[by_turn]
