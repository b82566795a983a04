"""How many more runs would decide, and how sure to be at each look when runs are added until a question is decided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri, stdtrit

from frugalseg.statistics.intervals import Crossed


@dataclass(frozen=True)
class Needed:
    """What would decide if means stayed as they are: so many more seeds of each model, or with any seeds so many test images.

    Both are None where nothing would, since the effect lies on its very bound.
    """

    seeds: int | None = None
    images: int | None = None


def needed(
    models: Crossed, coefficients: Sequence[float], bound: float = 0.0, *, level: float = 0.95, most: int = 10
) -> Needed:
    """What would make the interval of a weighted sum of means end before a bound: the fewest more seeds, or images.

    More seeds than `most` are not asked for. A ratio reaches r where its numerator less r times its denominator reaches 0.
    """
    away = abs(models.contrast(coefficients, level).value - bound)
    if away == 0:
        return Needed()
    for seeds in range(1, most + 1):
        if models.distance_with(coefficients, seeds, level) < away:
            return Needed(seeds=seeds)
    return Needed(images=_images(models, coefficients, away, level))


def level_of_look(look: int, looks: int, level: float = 0.95) -> float:
    """Level of the intervals at a look, counted from 1, such that all looks together are wrong with 1 - level at most.

    The error is spent as by Lan & DeMets (1983) in the manner of O'Brien and Fleming: almost nothing early, almost all at
    the last look. What a look spends is its own, so no correlation between looks is used: that is on the safe side.
    """
    if not 1 <= look <= looks:
        raise ValueError(f"look {look} of {looks}: count looks from 1")
    return 1 - (_spent(look / looks, 1 - level) - _spent((look - 1) / looks, 1 - level))


def _spent(time: float, error: float) -> float:
    """Error spent at a share of the whole time."""
    return 2 * float(ndtr(-ndtri(1 - error / 2) / math.sqrt(time))) if time > 0 else 0.0


def _images(models: Crossed, coefficients: Sequence[float], away: float, level: float) -> int | None:
    """The fewest test images with which even unlimited seeds would decide; None beyond a million."""
    deviation = math.sqrt(models.image_variance(coefficients))
    count = max(models.images, 3)
    while count < 1_000_000:
        if stdtrit(count - 1, (1 + level) / 2) * deviation / math.sqrt(count) < away:
            return count
        count = math.ceil(1.05 * count)
    return None
