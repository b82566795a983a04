"""Paired tests, Holm, the plateau's edge and bootstrap intervals: slow references, known answers and error rates."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from frugalseg.statistics.correlation import correlation
from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.plateau import plateau_edge
from frugalseg.statistics.seed_variance import fit_prior
from frugalseg.statistics.tests import holm, signed_rank


def generator(seed=0):
    return np.random.default_rng(seed)


def enumerated(differences):
    """Lower and upper tail of the signed-rank sum over every way to give signs to the sizes."""
    sizes = np.abs([difference for difference in differences if difference != 0])
    # The rank of a size is how many are smaller, and half of those as large, itself counted whole.
    ranks = [(sizes < size).sum() + ((sizes == size).sum() + 1) / 2 for size in sizes]
    observed = sum(
        rank for rank, difference in zip(ranks, [d for d in differences if d != 0], strict=True) if difference > 0
    )
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return np.mean([total <= observed for total in sums]), np.mean([total >= observed for total in sums])


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_signed_rank_is_exact_with_ties_and_zeros(differences):
    if not any(differences):
        return
    lower, upper = enumerated(differences)
    assert signed_rank(differences, "less") == pytest.approx(lower, abs=1e-12)
    assert signed_rank(differences, "greater") == pytest.approx(upper, abs=1e-12)
    assert signed_rank(differences) == pytest.approx(min(1, 2 * min(lower, upper)), abs=1e-12)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_signed_rank_leaves_zeros_out_where_there_are_many(alternative):
    differences = np.round(generator(1).normal(0.1, 1, 400), 1)
    assert signed_rank(differences, alternative) == signed_rank(differences[differences != 0], alternative)


def test_signed_rank_knows_the_tables():
    assert signed_rank([0, 0, 0]) == 1
    assert signed_rank([0, 0], "greater") == 1
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5], "greater") == 1 / 32
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5]) == 1 / 16
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5], "less") == 1
    assert signed_rank([1, -1]) == 1
    # Critical value of the printed tables: T = 8 of 10 pairs has p = 0.0488 two-sided.
    assert signed_rank([-1, -2, -5, 3, 4, 6, 7, 8, 9, 10]) == pytest.approx(0.0488, abs=5e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], r"differences: must be an array \(pairs\)"), ([[1]], r"of shape \(1, 1\)"), ([1, np.nan], "1 of 2 are NaN")],
)
def test_signed_rank_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        signed_rank(values)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.6]), [1, 1])
    np.testing.assert_allclose(holm([0.2]), [0.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_as_the_stepwise_procedure_does(p_values, alpha):
    rejected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        if p_values[index] * (len(p_values) - step) > alpha:
            break
        rejected.add(index)
    assert set(np.flatnonzero(holm(p_values) <= alpha)) == rejected


@pytest.mark.parametrize("p_values", [[-0.1], [0.5, 1.1], [np.nan], []])
def test_holm_refuses(p_values):
    with pytest.raises(ValueError, match="p-values: "):
        holm(p_values)


def nets(losses, images=40, seeds=3, noise=0.01, seed=0):
    """Accuracies of nets whose mean lies `losses` below 0.9, on images of different difficulty."""
    source = generator(seed)
    difficulty = source.normal(0, 0.05, images)
    return {cap: 0.9 - loss + difficulty + source.normal(0, noise, (seeds, images)) for cap, loss in losses.items()}


def test_the_edge_lies_where_accuracy_falls():
    plateau = plateau_edge(nets({512: 0, 64: 0.001, 32: -0.01, 8: 0.004, 4: 0.05, 1: 0.3}), margin=0.02)
    assert plateau.edge == 8
    assert [(entry.cap, entry.not_worse) for entry in plateau.comparisons] == [
        (64, True),
        (32, True),
        (8, True),
        (4, False),
        (1, False),
    ]
    losses = {entry.cap: entry.loss for entry in plateau.comparisons}
    assert losses[4] == pytest.approx(0.05, abs=0.005)
    assert losses[32] < 0


def test_the_edge_is_above_any_cap_that_fails():
    plateau = plateau_edge(nets({512: 0, 64: 0, 32: 0.1, 16: 0, 8: 0.2}), margin=0.02)
    assert plateau.edge == 64
    assert {entry.cap: entry.not_worse for entry in plateau.comparisons} == {64: True, 32: False, 16: True, 8: False}


def test_the_order_of_the_mapping_is_of_no_matter():
    accuracy = nets({512: 0, 64: 0, 8: 0.1})
    assert plateau_edge(dict(reversed(accuracy.items())), 0.02) == plateau_edge(accuracy, 0.02)


def test_few_images_claim_nothing():
    """Four images cannot give p below 1/16, however alike the nets are; a test for a difference would pass them all."""
    assert plateau_edge(nets({512: 0, 8: 0}, images=4, noise=1e-6), margin=0.02).edge == 512
    assert plateau_edge(nets({512: 0, 8: 0}, images=5, noise=1e-6), margin=0.02).edge == 8
    # Holm over four caps asks for seven: 2^-6 > 0.05 / 4 > 2^-7.
    losses = dict.fromkeys((512, 64, 32, 16, 8), 0)
    assert plateau_edge(nets(losses, images=6, noise=1e-6), margin=0.02).edge == 512
    assert plateau_edge(nets(losses, images=7, noise=1e-6), margin=0.02).edge == 8


def test_p_is_that_of_scipy_on_means_over_seeds():
    accuracy = nets({512: 0, 8: 0.01, 4: 0.02})
    mean = {cap: values.mean(axis=0) for cap, values in accuracy.items()}
    expected = [
        stats.wilcoxon(mean[cap] - mean[512] + 0.02, alternative="greater", method="exact").pvalue for cap in (8, 4)
    ]
    first, second = plateau_edge(accuracy, margin=0.02).comparisons
    assert (first.p, second.p) == pytest.approx((min(2 * min(expected), 1), max(2 * min(expected), max(expected))))


def test_a_mean_beyond_the_margin_is_worse_even_if_most_images_are_not():
    """A signed-rank test speaks of the typical image; a few that fail altogether show in the mean alone."""
    full = np.full((1, 60), 0.9)
    capped = full.copy()
    capped[0, :4] = 0
    (entry,) = plateau_edge({512: full, 8: capped}, margin=0.02).comparisons
    assert entry.p < 0.05
    assert entry.loss == pytest.approx(0.06)
    assert not entry.not_worse


def rate_of_claims(loss, margin=0.02, simulations=300):
    """How often cap 8, truly worse by `loss`, is called not worse."""
    claims = [
        plateau_edge(nets({512: 0, 8: loss}, images=25, seeds=2, noise=0.03, seed=seed), margin).edge == 8
        for seed in range(simulations)
    ]
    return np.mean(claims)


def test_seeds_that_vary_leave_fewer_caps_not_worse():
    accuracy = nets({512: 0, 64: 0.0, 32: 0.0, 8: 0.0}, images=60)
    calm = plateau_edge(accuracy, 0.02, prior=fit_prior(list(accuracy.values())))
    assert calm.edge == 8
    source = generator(1)
    varied = {cap: values + source.normal(0, 0.03, (3, 1)) for cap, values in accuracy.items()}
    assert plateau_edge(varied, 0.02, prior=fit_prior(list(varied.values()))).edge == 512


def test_error_rate_and_power():
    assert rate_of_claims(loss=0.02) <= 0.09  # 0.05 and three standard errors
    assert rate_of_claims(loss=0.03) <= 0.01
    assert rate_of_claims(loss=0) >= 0.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0}, "margin: must be above 0"),
        ({"alpha": 1}, "alpha: must be between 0 and 1"),
        ({"accuracy": {512: np.ones((3, 4))}}, "has 1 caps; give the full net"),
        ({"accuracy": {512: np.ones((3, 4)), 8: np.ones((3, 5))}}, "cap 8 and cap 512: have 5 and 4 images"),
        ({"accuracy": {512: np.ones((3, 4)), 8: np.ones(4)}}, r"accuracy of cap 8: must be an array \(seeds, images\)"),
        ({"accuracy": {512: np.full((3, 4), np.nan), 8: np.ones((3, 4))}}, "accuracy of cap 512: 12 of 12 are NaN"),
    ],
)
def test_plateau_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        plateau_edge(**{"accuracy": nets({512: 0, 8: 0}), "margin": 0.02} | changes)


def interval(drawn, level=0.95):
    return pytest.approx(np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)]), abs=1e-12)


def scan(seed=0, caps=8, seeds=(5, 3), noise=0.1):
    """Scores and accuracies of caps that rise together."""
    source = generator(seed)
    truth = np.linspace(0, 1, caps)[:, None]
    return truth + source.normal(0, noise, (caps, seeds[0])), 0.8 + truth / 10 + source.normal(
        0, noise / 10, (caps, seeds[1])
    )


@pytest.mark.parametrize("resample_caps", [False, True])
@pytest.mark.parametrize(("method", "peer"), [("spearman", stats.spearmanr), ("pearson", stats.pearsonr)])
def test_correlation_is_that_of_a_loop(method, peer, resample_caps):
    score, accuracy = scan(noise=0.4)
    estimate = correlation(score, accuracy, method, generator(3), resample_caps=resample_caps, draws=150)
    assert estimate.value == pytest.approx(peer(score.mean(axis=1), accuracy.mean(axis=1)).statistic)
    source = generator(3)
    rows, columns = source.integers(5, size=(150, 5)), source.integers(3, size=(150, 3))
    caps = source.integers(8, size=(8, 150)) if resample_caps else np.tile(np.arange(8)[:, None], 150)
    drawn = [
        peer(score[cap][:, row].mean(axis=1), accuracy[cap][:, column].mean(axis=1)).statistic
        for row, column, cap in zip(rows, columns, caps.T, strict=True)
    ]
    assert [estimate.low, estimate.high] == interval(drawn)


def test_spearman_sees_order_and_pearson_lines():
    score, accuracy = scan(noise=0)
    for method in ("spearman", "pearson"):
        estimate = correlation(score, accuracy, method, generator(), resample_caps=True, draws=200)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1, 1, 1))
    bent = {
        method: correlation(score**9, -accuracy, method, generator(), resample_caps=False)
        for method in ("spearman", "pearson")
    }
    assert bent["spearman"].value == pytest.approx(-1)
    assert -0.8 < bent["pearson"].value < 0


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_a_constant_has_no_correlation(method):
    score, accuracy = scan()
    estimate = correlation(np.full_like(score, 0.1), accuracy, method, generator(), resample_caps=True, draws=50)
    assert np.isnan([estimate.value, estimate.low, estimate.high]).all()


def test_draws_of_one_cap_alone_are_left_out():
    score, accuracy = scan(caps=3)
    estimate = correlation(score, accuracy, "pearson", generator(), resample_caps=True, draws=500)
    assert np.isfinite([estimate.low, estimate.high]).all()


def test_other_caps_add_to_the_spread():
    score, accuracy = scan(noise=0.3)
    seeds, caps = (
        correlation(score, accuracy, "pearson", generator(), resample_caps=resampled) for resampled in (False, True)
    )
    assert seeds.value == caps.value
    assert caps.high - caps.low > seeds.high - seeds.low


def test_the_same_generator_gives_the_same_interval():
    score, accuracy = scan()

    def estimate(seed):
        return correlation(score, accuracy, "spearman", generator(seed), resample_caps=True, draws=100)

    assert isinstance(estimate(1), Estimate)
    assert estimate(1) == estimate(1) != estimate(2)


@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (
            lambda source: correlation([1], [[1]], "pearson", source, resample_caps=False),
            r"score: must be an array \(caps, seeds\)",
        ),
        (
            lambda source: correlation(np.ones((3, 2)), np.ones((4, 2)), "pearson", source, resample_caps=False),
            "have 3 and 4 caps; give the same three or more",
        ),
        (
            lambda source: correlation(np.ones((4, 1)), np.ones((4, 1)), "pearson", source, resample_caps=False),
            "have one seed each, which shows no spread",
        ),
    ],
)
def test_intervals_refuse(estimate, message):
    with pytest.raises(ValueError, match=message):
        estimate(generator())
