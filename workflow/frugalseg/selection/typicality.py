"""Typical patches of all kinds, as TypiClust takes them (Hacohen et al., ICML 2022)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from frugalseg.kernels.quantize import checked

NEEDS = "features"
METHODS = (
    "was typicality [@typicality], which takes of {{ clusters | plural('cluster') }} of k-means in turn the patch that is nearest "
    "to its {{ NEIGHBOURS }} nearest neighbours there, on average"
)
CITES = {
    "typicality": "Hacohen, Dekel & Weinshall 2022, Active learning on a budget: opposite strategies suit high and low budgets, "
    "International Conference on Machine Learning",
}
OPTIONS = {
    "clusters": {
        "type": "integer",
        "minimum": 1,
        "default": 100,
        "description": "Clusters of k-means that patches are taken from in turn.",
    }
}

CLUSTERS = 100
NEIGHBOURS = 20
# Rows whose distances to all others of a cluster are held at a time.
_BLOCK = 512
_SEED = 0


def typicality(
    features: Tensor, patches: pd.DataFrame | None, seed: int, *, clusters: int = CLUSTERS
) -> tuple[Tensor, Tensor]:
    """Order that takes from all clusters in turn, of every cluster the patch in the densest place first.

    Clusters are those of k-means, from a fixed seed: one order for all runs, where Hacohen et al. make as many clusters as
    they take patches. Typicality is the inverse of the mean distance to the 20 nearest neighbours in the cluster, or to all
    others of a smaller one. In every turn the clusters come by size, the largest first, as long as they have patches
    left. Equally typical patches come by index.
    `bins` is the cluster of each patch, 0 for the largest; of fewer patches than clusters each is one.
    """
    rows = checked(features).cpu().double()
    labels = _k_means(rows, min(clusters, len(rows)))
    sizes = labels.bincount()
    members = [(labels == label).nonzero()[:, 0] for label in sizes.argsort(stable=True, descending=True).tolist()]
    members = [member[_mean_distances(rows[member]).argsort(stable=True)] for member in members if len(member)]
    bins = torch.cat([torch.full_like(member, number) for number, member in enumerate(members)])
    turns = torch.cat([torch.arange(len(member)) for member in members])
    # Stable: within a turn the clusters keep their order.
    by_turn = turns.argsort(stable=True)
    return torch.cat(members)[by_turn], bins[by_turn]


def _k_means(rows: Tensor, clusters: int) -> Tensor:
    # Importing scikit-learn takes a second, which the other selectors need not pay.
    from sklearn.cluster import KMeans

    # Rows that occur more than once are fewer than they seem, and k-means warns of clusters that it leaves empty.
    distinct = len(torch.unique(rows, dim=0))
    k_means = KMeans(min(clusters, distinct), n_init=1, random_state=_SEED)
    return torch.from_numpy(k_means.fit_predict(rows.numpy())).long()


def _mean_distances(rows: Tensor) -> Tensor:
    """Mean Euclidean distance (N,) of every row to its nearest neighbours, at most `NEIGHBOURS` of them; 0 of a single row."""
    neighbours = min(NEIGHBOURS, len(rows) - 1)
    means = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        distances = torch.cdist(block, rows, compute_mode="donot_use_mm_for_euclid_dist")
        # A row is no neighbour of its own; copies of it are.
        distances[torch.arange(len(block)), torch.arange(start, start + len(block))] = -1.0
        means.append(distances.topk(neighbours + 1, largest=False).values[:, 1:].sum(1) / max(1, neighbours))
    return torch.cat(means)
