"""Learning curves as they might have been with other seeds and other test images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from frugalseg.statistics.seed_variance import Prior, draw, moderated, residual_variance, seed_variance, summarise


def draw_curves(
    values: NDArray[np.float64], generator: np.random.Generator, draws: int, prior: Prior | None = None
) -> NDArray[np.float64]:
    """Mean scores (D, R) in [0, 1] over the amounts, drawn with seeds and images anew from scores (R, S, I).

    Images are drawn with replacement, the same for all amounts, as they are the same test set. Of two to five seeds no
    bootstrap knows the spread: what they add is drawn from a normal distribution with the variance of
    :func:`seed_errors`, independently for every amount. Both parts are widened as a t distribution is, for their
    degrees of freedom. One seed adds nothing: the curves are then those of these very models. With a prior, every curve
    is drawn with a variance of its own for every amount, which the other models of the study moderate.
    """
    amounts, seeds, images = values.shape
    means = values.mean(axis=1)
    drawn = generator.multinomial(images, np.full(images, 1 / images), size=draws) / images
    centre = means.mean(axis=1)
    of_images = drawn @ (means - centre[:, None]).T * np.sqrt(images / max(images - 1, 1))
    curves = centre + of_images * _mixing(images - 1, draws, generator)
    if prior is not None:
        curves = curves + generator.standard_normal((draws, amounts)) * _drawn_errors(values, prior, generator, draws)
    elif seeds > 1:
        noise = generator.standard_normal((draws, amounts)) * seed_errors(values)
        curves = curves + noise * _mixing(_freedom(amounts, seeds), draws, generator)
    return np.clip(curves, 0, 1)


def seed_errors(values: NDArray[np.float64], prior: Prior | None = None) -> NDArray[np.float64]:
    """Standard error that seeds alone give the mean score at each amount, (R, S, I) -> (R,); 0 of a single seed.

    The variance of the seeds' means falls with the amount; from two or three seeds it is hardly known at any one
    amount. So it is taken from a straight line through its logarithm over the order of the amounts, that all of them
    share, less what the chance of single images gives.
    """
    amounts, seeds, images = values.shape
    if prior is not None:
        drawn = [draw(prior.expected(value), *summarise(value)[1:], 2) for value in values]
        return np.sqrt(np.median(drawn, axis=1) / seeds)
    if seeds == 1:
        return np.zeros(amounts)
    residual = np.array([residual_variance(value) for value in values]) / images
    spread = np.array([seed_variance(value) for value in values]) + residual
    if spread.max() <= 0:
        return np.zeros(amounts)
    # Zero spread has no logarithm (e.g. when every model finds nothing), and a tiny one would tilt the line.
    logarithms = np.log(np.maximum(spread, spread.max() * 1e-3))
    # The logarithm of a chi-square over its degrees of freedom is below 0 in the mean.
    freedom = seeds - 1
    logarithms = logarithms - (digamma(freedom / 2) - np.log(freedom / 2))
    order = np.arange(amounts)
    slope, level = np.polyfit(order, logarithms, 1) if amounts > 2 else (0.0, logarithms.mean())
    smooth = np.exp(level + slope * order)
    return np.sqrt(np.maximum(smooth - residual, 0) / seeds)


def score_variances(values: NDArray[np.float64], prior: Prior | None = None) -> NDArray[np.float64]:
    """Variance of the mean score at each amount against the other amounts, (R, S, I) -> (R,), above 0.

    Of seeds and of the residual; how hard an image is for all models is left out, since it moves the whole curve.
    """
    amounts, _, images = values.shape
    means = values.mean(axis=1)
    # Image by amount: what is left when images and amounts are taken out is the residual over the seeds.
    left = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    residual = (left**2).sum() / max((amounts - 1) * (images - 1), 1) / images
    return np.maximum(seed_errors(values, prior) ** 2 + residual, 1e-10)


def _drawn_errors(
    values: NDArray[np.float64], prior: Prior, generator: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    """(D, R) standard errors of seeds; of a curve all amounts have one of the prior's values in common."""
    which = generator.integers(len(prior.level), size=draws)
    drawn = [
        moderated(prior.expected(value), *summarise(value)[1:], which, generator.uniform(1e-6, 1 - 1e-6, draws))
        for value in values
    ]
    return np.sqrt(np.stack(drawn, axis=1) / values.shape[1])


def _freedom(amounts: int, seeds: int) -> int:
    """Degrees of freedom of the variances that all amounts share, two of them spent on the line."""
    return max(amounts * (seeds - 1) - (2 if amounts > 2 else 1), 1)


def _mixing(freedom: int, draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(draws, 1): what makes a t distribution of a normal one; 1 where there is nothing to know."""
    if freedom < 1:
        return np.ones((draws, 1))
    return np.sqrt(freedom / generator.chisquare(freedom, (draws, 1)))
