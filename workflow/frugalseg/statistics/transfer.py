"""What learning one dataset after another does to all of them: the transfer matrix and its three sums.

R[i, j] is the score on the test images of dataset j after stage i. Of T datasets, one a stage, Lopez-Paz & Ranzato (2017,
section 3) define

- average: the mean over all j of R[T, j];
- backward transfer: the mean over j < T of R[T, j] - R[j, j], below 0 where learning goes on at the cost of what was learned;
- forward transfer: the mean over j > 1 of R[j - 1, j] - b[j], above 0 where what was learned serves what is not learned yet;
  b is the score of a network that has learned nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from frugalseg.statistics.intervals import Estimate, crossed_mean, crossed_mean_of_sets
from frugalseg.statistics.seed_variance import Expected, Prior

Scores = NDArray[np.float64]
Priors = Mapping[str, Prior]
"""Of the seed variances, by dataset; all or none."""


@dataclass(frozen=True)
class ChainScores:
    """Scores along a chain.

    Attributes
    ----------
    learned : mapping of str to int
        Dataset -> number of the row after which it is learned, from 1 on, in the order of learning. Where a stage joins
        several new datasets, all are learned at once; of one that is replayed later, the first time counts.
    scores : mapping of str to np.ndarray
        Dataset -> (rows, seeds, images). Row 0 is what stands for chance, row i the model after stage i.
    """

    learned: Mapping[str, int]
    scores: Mapping[str, Scores]

    @property
    def stages(self) -> int:
        return len(next(iter(self.scores.values()))) - 1

    @property
    def seeds(self) -> int:
        return next(iter(self.scores.values())).shape[1]


@dataclass(frozen=True)
class Transfer:
    """Dataset -> its mean score in every row; and the three sums of the module."""

    matrix: Mapping[str, tuple[Estimate, ...]]
    average: Estimate
    backward: Estimate
    forward: Estimate


def transfer(path: ChainScores, priors: Priors | None = None) -> Transfer:
    """Transfer matrix of a chain; a seed is the same run in all rows, so that differences are paired by seed and image."""
    if len(set(path.learned.values())) < 2:
        raise ValueError("a chain that learns all of its datasets in one stage transfers nothing; give it two stages")
    last = path.stages
    changes = {dataset: (last, row) for dataset, row in path.learned.items() if row < last}
    gains = {dataset: (row - 1, 0) for dataset, row in path.learned.items() if row > 1}
    return Transfer(
        matrix={
            dataset: tuple(crossed_mean(row, prior=(priors or {}).get(dataset)) for row in scores)
            for dataset, scores in path.scores.items()
        },
        average=_mean_of_rows(path, dict.fromkeys(path.scores, (last,)), priors),
        backward=_mean_of_rows(path, changes, priors),
        forward=_mean_of_rows(path, gains, priors),
    )


def compare_ends(
    paths: Sequence[ChainScores], priors: Priors | None = None, *, level: float = 0.95
) -> dict[tuple[int, int], Estimate]:
    """Differences of the average scores at the end of chains that learn the same datasets, paired by image and seed.

    Returns
    -------
    dict
        Numbers of two paths, the better one first -> its average less that of the other. All intervals together cover
        with the probability `level` (Bonferroni), so that the best may be picked by them.
    """
    if len(paths) < 2 or any(path.scores.keys() != paths[0].scores.keys() for path in paths):
        raise ValueError("ends are compared of two or more paths through the same datasets")
    pairs = list(combinations(range(len(paths)), 2))
    found = {}
    for pair in pairs:
        ends = [np.mean([scores[-1].mean() for scores in paths[number].scores.values()]) for number in pair]
        better, other = pair if ends[0] >= ends[1] else pair[::-1]
        pairs_of_ends = {
            dataset: [paths[number].scores[dataset][-1] for number in (better, other)] for dataset in paths[0].scores
        }
        found[better, other] = _mean_of_differences(pairs_of_ends, priors, 1 - (1 - level) / len(pairs))
    return found


def _mean_of_rows(path: ChainScores, rows: Mapping[str, tuple[int, ...]], priors: Priors | None) -> Estimate:
    """Mean over datasets of the scores in a row, or of a row less another."""
    return _mean_of_differences(
        {dataset: [path.scores[dataset][row] for row in chosen] for dataset, chosen in rows.items()}, priors
    )


def _mean_of_differences(
    scores: Mapping[str, Sequence[Scores]], priors: Priors | None, level: float = 0.95
) -> Estimate:
    """Mean over datasets of the first scores less the second, where there are such, paired by seed and image."""
    sets = [first - second[0] if second else first for first, *second in scores.values()]
    prior = _expected(scores, priors) if priors else None
    return crossed_mean_of_sets(sets, prior=prior, level=level)


def _expected(scores: Mapping[str, Sequence[Scores]], priors: Priors) -> list[Expected]:
    return [priors[dataset].expected_sum(parts, [1.0, -1.0][: len(parts)]) for dataset, parts in scores.items()]
