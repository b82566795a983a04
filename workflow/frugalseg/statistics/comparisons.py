"""Models compared on the same test images: what is the difference, is it real, and is it too small to matter?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from frugalseg.statistics.intervals import Crossed, Estimate, crossed_difference
from frugalseg.statistics.seed_variance import Prior
from frugalseg.statistics.tests import check_fraction, holm, signed_rank

Name = TypeVar("Name")

# Beyond them t quantiles say nothing of real data, and an interval of level 0 is a point.
_ALPHAS = (1e-6, 0.499999)


@dataclass(frozen=True)
class Equivalence:
    """Whether two models differ by less than a margin.

    Attributes
    ----------
    difference : Estimate
        With the interval of level 1 - 2 alpha, which is what two one-sided tests look at.
    p : float
        The larger p-value of the two one-sided tests, in [1e-6, 0.5], 1 where the difference itself is beyond the margin.
    holds : bool
        Whether `p` is at most alpha: only then may the two be called equal.
    """

    difference: Estimate
    p: float
    holds: bool


@dataclass(frozen=True)
class Comparison:
    """A model less its reference; `p` is Wilcoxon's over the images, of means over seeds, Holm-corrected over all models."""

    difference: Estimate
    p: float
    equivalence: Equivalence


def equivalence(
    values: ArrayLike, others: ArrayLike, margin: float, alpha: float = 0.05, *, prior: Prior | None = None
) -> Equivalence:
    """Test by two one-sided tests (Schuirmann 1987) that two models, (seeds, images) each, differ by less than a margin.

    That a difference is not significant shows nothing: with few images none is. Here the null hypothesis is a
    difference of the margin or more, in either direction. The tests are those that the interval inverts: each rejects
    at alpha where the interval of level 1 - 2 alpha ends within the margin. So seeds count as much as they do there.
    """
    if not margin > 0:
        raise ValueError(f"margin: must be above 0, not {margin}; give the difference that does not matter")
    check_fraction(2 * alpha, "2 alpha")
    pair = Crossed([values, others], prior)

    def within(tail: float) -> bool:
        interval = pair.contrast((1.0, -1.0), 1 - 2 * tail)
        return -margin < interval.low and interval.high < margin

    p = smallest_alpha(within)
    return Equivalence(pair.contrast((1.0, -1.0), 1 - 2 * alpha), p, p <= alpha)


def compare(
    models: Mapping[Name, ArrayLike], reference: ArrayLike, margin: float, *, prior: Prior | None = None
) -> dict[Name, Comparison]:
    """Compare several models with one reference, (seeds, images) of the same images; p-values are corrected for their number."""
    if not models:
        return {}
    equal = {name: equivalence(values, reference, margin, prior=prior) for name, values in models.items()}
    over_seeds = np.mean(reference, axis=0)
    p_values = holm([signed_rank(np.mean(values, axis=0) - over_seeds) for values in models.values()])
    return {
        name: Comparison(crossed_difference(values, reference, prior=prior), float(p), equal[name])
        for (name, values), p in zip(models.items(), p_values, strict=True)
    }


def smallest_alpha(within: Callable[[float], bool]) -> float:
    """The smallest one-sided alpha at which an interval of level 1 - 2 alpha is `within` what it should, by bisection; else 1."""
    low, high = _ALPHAS
    if not within(high):
        return 1.0
    if within(low):
        return low
    # Twenty halvings leave less than 1e-6.
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return high
