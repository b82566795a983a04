"""Intervals of crossed seeds and images: slow references, known answers, and how often they hold the truth."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from frugalseg.statistics.intervals import (
    crossed_contrast,
    crossed_difference,
    crossed_mean,
)
from frugalseg.statistics.seed_variance import residual_variance, seed_variance

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import interval_coverage


def generator(seed=0):
    return np.random.default_rng(seed)


def symmetric(count):
    """Values without any skewness, of mean 0 and of variance 1."""
    values = np.linspace(-1, 1, count)
    return values / values.std(ddof=1)


def ends(estimate):
    return estimate.low, estimate.high


def test_one_seed_gives_the_t_interval_over_images():
    values = 0.6 + 0.1 * symmetric(20)[None]
    half = stats.t.ppf(0.975, 19) * 0.1 / 20**0.5
    assert ends(crossed_mean(values)) == pytest.approx((0.6 - half, 0.6 + half))
    # Seeds that agree to the bit add nothing, however many.
    assert ends(crossed_mean(np.repeat(values, 4, axis=0))) == pytest.approx((0.6 - half, 0.6 + half))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_images_that_agree_give_the_t_interval_over_seeds(seeds):
    values = np.tile(0.6 + 0.1 * symmetric(seeds)[:, None], (1, 30))
    half = stats.t.ppf(0.9, seeds - 1) * 0.1 / seeds**0.5
    assert ends(crossed_mean(values, level=0.8)) == pytest.approx((0.6 - half, 0.6 + half))


def anova(values):
    """Mean squares of seeds and of the residual, by loops over the table."""
    seeds, images = values.shape
    of_seeds = sum(images * (values[s].mean() - values.mean()) ** 2 for s in range(seeds)) / (seeds - 1)
    residual = sum(
        (values[s, i] - values[s].mean() - values[:, i].mean() + values.mean()) ** 2
        for s in range(seeds)
        for i in range(images)
    ) / ((seeds - 1) * (images - 1))
    return of_seeds, residual


def test_variance_components_are_those_of_the_analysis_of_variance():
    values = generator().normal(size=(4, 9)) + generator(1).normal(size=(4, 1))
    of_seeds, residual = anova(values)
    assert residual_variance(values) == pytest.approx(residual)
    assert seed_variance(values) == pytest.approx((of_seeds - residual) / 9)
    assert residual_variance(values[:1]) == 0


def test_the_quantile_is_weighed_by_the_variances_of_images_and_seeds():
    values = 0.5 + 0.02 * symmetric(3)[:, None] + 0.1 * symmetric(16)[None]
    # Additive, so the residual is 0.
    of_images, of_seeds = 0.1**2 / 16, 0.02**2 / 3
    variance = of_images + of_seeds
    quantile = (of_images * stats.t.ppf(0.975, 15) + of_seeds * stats.t.ppf(0.975, 2)) / variance
    estimate = crossed_mean(values)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(quantile * variance**0.5)


def test_skewed_images_move_the_interval_towards_their_tail():
    values = 1 - generator().exponential(0.1, (1, 20))
    estimate = crossed_mean(values)
    skewness = stats.skew(values[0], bias=False) / 20**0.5
    error = values.std(ddof=1) / 20**0.5
    assert estimate.value - estimate.low > 1.2 * (estimate.high - estimate.value)
    # Hall's cubic takes either end back to the quantiles of t.
    for end, quantile in ((estimate.low, stats.t.ppf(0.975, 19)), (estimate.high, stats.t.ppf(0.025, 19))):
        x = (estimate.value - end) / error
        assert x + skewness * x**2 / 3 + skewness**2 * x**3 / 27 + skewness / 6 == pytest.approx(quantile, abs=1e-6)


def test_pairing_takes_the_difficulty_of_images_away():
    difficulty = generator().normal(0, 0.2, 40)
    values = difficulty + 0.7 + 0.01 * generator(1).normal(size=(3, 40))
    others = difficulty + 0.6 + 0.01 * generator(2).normal(size=(5, 40))
    estimate = crossed_difference(values, others)
    assert estimate.low < 0.1 < estimate.high
    assert estimate.high - estimate.low < 0.05 < crossed_mean(values).high - crossed_mean(values).low
    turned = crossed_difference(others, values)
    assert (turned.value, -turned.high, -turned.low) == pytest.approx((-estimate.value, *ends(estimate)))


def test_a_contrast_is_linear_in_its_coefficients():
    models = [generator(seed).uniform(size=(3, 12)) for seed in range(3)]
    once, twice = (crossed_contrast(models, [factor * c for c in (1, -0.5, -0.5)]) for factor in (1, 2))
    assert (twice.value, *ends(twice)) == pytest.approx((2 * once.value, 2 * once.low, 2 * once.high))
    assert once.value == pytest.approx(models[0].mean() - (models[1].mean() + models[2].mean()) / 2)


def test_no_spread_gives_a_point():
    estimate = crossed_difference(np.full((3, 8), 0.3), np.full((2, 8), 0.1))
    assert estimate.low == estimate.value == estimate.high == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([np.ones((2, 3)), np.ones((2, 4))], [1, -1]), "model 2 and model 1: have 4 and 3 images"),
        (([np.ones((2, 3))], [1, -1]), "coefficients: 2 for 1 models"),
        (([np.ones((2, 1))], [1]), "images: there is one"),
        (([np.full((2, 3), np.nan)], [1]), "model 1: 6 of 6 are NaN"),
    ],
)
def test_what_is_no_table_of_seeds_and_images_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        crossed_contrast(*arguments)


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("spread", ["small", "large"])
def test_intervals_cover_where_the_bootstrap_does_not(spread, seeds):
    """Six hundred simulations are right within 1.8 % (two standard errors); benchmarks/interval_coverage.py makes more of them."""
    found = interval_coverage.cover_pairs(interval_coverage.Setting("like AP", spread, seeds, 24), 600)
    for percent, _ in found.values():
        assert 93 - 1.8 <= percent <= 97 + 1.8
    if spread == "large":
        bootstrap = interval_coverage.cover_pairs(
            interval_coverage.Setting("like AP", spread, seeds, 24), 200, bootstrap=True
        )
        assert bootstrap["difference, bootstrap"][0] < 91
