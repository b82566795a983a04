"""Moderated seed variances: slow references, what is borrowed and from whom, and how often intervals with few seeds cover."""

import numpy as np
import pytest
from scipy import integrate, stats

from frugalseg.statistics import seed_variance
from frugalseg.statistics.intervals import crossed_difference, crossed_mean, crossed_mean_of_sets, paired_difference
from frugalseg.statistics.seed_variance import Expected, add_up, distance_of_level, draw, fit_prior


def generator(seed=0):
    return np.random.default_rng(seed)


def study(deviations, means=None, seeds=2, images=30, source=None):
    """Models, (seeds, images) each, whose seeds vary by given standard deviations."""
    source = source or generator()
    means = np.full(len(deviations), 0.6) if means is None else means
    hard = source.normal(0, 0.1, images)
    return [
        mean + hard + 0.02 * source.normal(size=(seeds, images)) + deviation * source.normal(size=(seeds, 1))
        for mean, deviation in zip(means, deviations, strict=True)
    ]


def typical(prior, values):
    return np.exp(np.median(prior.expected(values).centre) / 2)


def test_a_study_of_alike_models_knows_their_deviation():
    models = study([0.03] * 40)
    prior = fit_prior(models)
    assert prior.models == 40
    assert typical(prior, models[0]) == pytest.approx(0.03, rel=0.2)
    assert np.median(prior.spread) <= 0.6
    assert prior.residual == pytest.approx(0.02**2 / 30, rel=0.2)


def test_models_that_vary_differently_are_known_to():
    source = generator(3)
    prior = fit_prior(study(0.03 * np.exp(source.normal(size=200)), source=source))
    # The logarithm of a variance spreads twice as much as that of a deviation.
    assert 1.5 < np.median(prior.spread) < 2.6


def test_models_that_never_vary_do_not_say_how_others_do():
    models = study([0.03] * 20)
    collapsed = [np.zeros((2, 30))] * 5
    with_them, without = fit_prior(models + collapsed), fit_prior(models)
    assert typical(with_them, models[0]) == pytest.approx(typical(without, models[0]), rel=0.2)


def test_a_wild_model_keeps_its_own_variance():
    models = study([0.005] * 20)
    wild = models[0] + np.array([[0.4], [-0.4]])
    prior = fit_prior([wild, *models])
    alone = crossed_mean(wild)
    assert crossed_mean(wild, prior=prior).high - crossed_mean(wild).value > 0.5 * (alone.high - alone.value)
    assert typical(prior, models[0]) < 0.01


def test_the_variance_follows_the_mean():
    means = np.linspace(0.1, 0.9, 40)
    source = generator(1)
    # Images without spread, so that all scores are within [0, 1].
    models = [mean + 0.08 * mean * (1 - mean) * source.normal(size=(3, 1)) + np.zeros((3, 12)) for mean in means]
    prior = fit_prior(models)
    middle, edge = np.full((1, 12), 0.5), np.full((1, 12), 0.95)
    assert typical(prior, middle) == pytest.approx(0.02, rel=0.3)
    assert typical(prior, edge) == pytest.approx(0.08 * 0.95 * 0.05, rel=0.5)


@pytest.mark.parametrize("models", [[], study([0.03] * 2), study([0.03] * 9, seeds=1), [np.zeros((2, 5))] * 9])
def test_too_few_replicated_models_say_nothing(models):
    assert fit_prior(models) is None


def posterior_quantiles(variance, seeds, spread, probabilities):
    """Of the logarithm of a variance whose logarithm is normal around 0, given an estimate: by integration."""

    def density(log):
        seen = stats.chi2.pdf((seeds - 1) * variance / np.exp(log), seeds - 1) / np.exp(log)
        return stats.norm.pdf(log, 0, spread) * seen

    grid = np.linspace(-6, 6, 2001)
    below = integrate.cumulative_trapezoid([density(log) for log in grid], grid, initial=0)
    return np.interp(probabilities, below / below[-1], grid)


@pytest.mark.parametrize(("variance", "seeds"), [(0.3, 2), (1.0, 3), (4.0, 5)])
def test_what_is_expected_and_what_is_measured_are_weighed_by_bayes(variance, seeds, monkeypatch):
    monkeypatch.setattr(seed_variance, "OUTLIER", 1e-12)
    drawn = np.log(draw(Expected(np.zeros(200), np.full(200, 1.2), 0), variance, 0, seeds, 2))
    probabilities = [0.1, 0.5, 0.9, 0.975]
    assert np.quantile(drawn, probabilities) == pytest.approx(
        posterior_quantiles(variance, seeds, 1.2, probabilities), abs=0.08
    )


def test_one_seed_has_what_is_expected():
    whole, less = (
        draw(Expected(np.full(200, np.log(0.01)), np.full(200, 0.5), residual), 0, 0, 1, 2) for residual in (0, 0.002)
    )
    assert np.log(whole).mean() == pytest.approx(np.log(0.01), abs=0.02)
    assert np.log(whole).std() == pytest.approx(0.5, abs=0.03)
    assert less == pytest.approx(np.maximum(whole - 0.002, whole / 2))


def test_what_single_images_give_is_taken_out():
    expected = Expected(np.zeros(200), np.full(200, 0.05), 0)
    whole, less = (np.median(draw(expected, 1, residual, 3, 2)) for residual in (0, 0.4))
    assert whole - less == pytest.approx(0.4)


def test_a_mixture_of_normals_with_variances_of_t_has_its_quantile():
    uniform = (np.arange(4000) + 0.5) / 4000
    variances = 5 / stats.chi2.ppf(uniform, 5)
    assert distance_of_level(variances, 0.95) == pytest.approx(stats.t.ppf(0.975, 5), rel=0.01)
    assert distance_of_level(np.ones(3), 0.5) == pytest.approx(stats.norm.ppf(0.75))


def test_sums_of_independent_seeds_add_variances_and_of_the_same_seed_deviations():
    parts = [Expected(np.log(np.full(3, variance)), np.ones(3), 0) for variance in (4.0, 9.0)]
    assert np.exp(add_up(parts, [1, -2], together=False).centre) == pytest.approx(4 + 4 * 9)
    assert np.exp(add_up(parts, [0.5, 0.5], together=True).centre) == pytest.approx(2.5**2)


def test_one_seed_knows_of_seeds_by_the_other_models():
    models = study([0.05] * 20)
    prior = fit_prior(models)
    alone, moderated = crossed_mean(models[0][:1]), crossed_mean(models[0][:1], prior=prior)
    assert moderated.high - moderated.low > 2 * (alone.high - alone.low)
    assert moderated.high - moderated.value > 1.9 * 0.05 > alone.high - alone.value


def test_two_seeds_of_a_study_are_worth_more_than_two_seeds_alone():
    models = study([0.03] * 20)
    prior = fit_prior(models)
    alone, moderated = (crossed_difference(*models[:2], prior=known) for known in (None, prior))
    assert moderated.value == alone.value
    assert moderated.high - moderated.low < 0.6 * (alone.high - alone.low)


def test_a_model_less_itself_is_nothing():
    models = study([0.03] * 20)
    found = paired_difference(models[0], models[0], prior=fit_prior(models))
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_what_a_seed_does_to_several_sets_is_expected_to_add_up():
    models = study([0.05] * 20)
    prior = fit_prior(models)
    one, two = (
        crossed_mean_of_sets([models[0][:1]] * count, prior=[prior.expected(models[0])] * count) for count in (1, 2)
    )
    # Images of different sets are independent, seeds are the same.
    assert 0.85 < (two.high - two.low) / (one.high - one.low) < 1
    assert (one.low, one.high) == pytest.approx(
        (lambda mean: (mean.low, mean.high))(crossed_mean(models[0][:1], prior=prior)), rel=0.02
    )


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("unlike", [0, 0.5])
def test_differences_of_few_seeds_hold_the_truth(seeds, unlike):
    source = generator(seeds)
    held = []
    for _ in range(300):
        models = study(0.03 * np.exp(unlike * source.normal(size=16)), seeds=max(seeds, 2), source=source)
        prior = fit_prior(models[2:])
        found = crossed_difference(models[0][:seeds], models[1][:seeds], prior=prior)
        held.append(found.low <= 0 <= found.high)
    # Of 300 intervals of 95 %, fewer than 91.7 % hold the truth in one of a hundred.
    assert 0.915 <= np.mean(held) <= 0.995
