"""How many more runs decide, as found when they are made, and the error of looking again and again."""

import numpy as np
import pytest
from scipy import stats

from frugalseg.statistics.intervals import Crossed, crossed_difference
from frugalseg.statistics.more_runs import level_of_look, needed
from frugalseg.statistics.seed_variance import fit_prior


def models(gain, deviation, *, seeds=2, images=40, count=20, noise=0.01, seed=0):
    """Models on the same images whose seeds vary; the second is better than the first by a gain, on the mean of its seeds."""
    source = np.random.default_rng(seed)
    hard = source.normal(0, 0.1, images)
    found = [
        0.6 + hard + noise * source.normal(size=(seeds, images)) + deviation * source.normal(size=(seeds, 1))
        for _ in range(count)
    ]
    found[1] += found[0].mean() + gain - found[1].mean()
    return found


@pytest.mark.parametrize("borrowed", [False, True])
def test_as_many_more_seeds_as_it_says_decide(borrowed):
    few = models(0.06, 0.03)
    prior = fit_prior(few) if borrowed else None
    pair = Crossed([few[1], few[0]], prior)
    assert pair.contrast([1, -1]).low < 0
    more = needed(pair, [1, -1]).seeds
    assert 1 <= more <= 6
    decided = []
    for seed in range(40):
        many = models(0.06, 0.03, seeds=2 + more, seed=100 + seed)
        prior = fit_prior(many) if borrowed else None
        decided.append(crossed_difference(many[1], many[0], prior=prior).low > 0)
    assert np.mean(decided) >= 0.5


def test_a_large_gain_takes_one_more_seed_and_a_small_one_many():
    few = models(0.05, 0.03)
    prior = fit_prior(few)
    seeds = []
    for gain in (0.12, 0.06, 0.04):
        pair = models(gain, 0.03)
        seeds.append(needed(Crossed([pair[1], pair[0]], prior), [1, -1], most=50).seeds)
    assert seeds[0] == 1 <= seeds[1] < seeds[2]


def test_where_images_are_too_few_seeds_do_not_help():
    few = models(0.01, 0.001, images=12, noise=0.05)
    found = needed(Crossed([few[1], few[0]], fit_prior(few)), [1, -1])
    assert found.seeds is None
    spread = (few[1].mean(axis=0) - few[0].mean(axis=0)).std(ddof=1)
    assert found.images == pytest.approx((1.98 * spread / 0.01) ** 2, rel=0.1)


def test_a_bound_of_a_ratio_is_one_of_a_contrast():
    few = models(-0.3, 0.03)
    pair = Crossed([few[0], few[1]], fit_prior(few))
    share = 0.3 / few[0].mean()
    near, far = (needed(pair, [1 - bound, -1], most=40).seeds for bound in (share - 0.05, share - 0.3))
    assert far == 1 < near


def test_on_the_very_bound_nothing_decides():
    few = models(0.0, 0.03)
    value = Crossed([few[1], few[0]]).contrast([1, -1]).value
    found = needed(Crossed([few[1], few[0]]), [1, -1], value)
    assert (found.seeds, found.images) == (None, None)


def test_looks_spend_little_early_and_together_what_is_allowed():
    spent = [1 - level_of_look(look, 4) for look in range(1, 5)]
    assert sum(spent) == pytest.approx(0.05)
    assert spent[0] < 0.0005 < spent[1] < spent[2] < spent[3]
    assert level_of_look(1, 1) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="look 5 of 4: count looks from 1"):
        level_of_look(5, 4)


@pytest.mark.parametrize("looks", [2, 5])
def test_looking_until_decided_is_wrong_as_seldom_as_one_look(looks):
    """Two equal models, a seed more of both at each look; undecided is right."""
    source = np.random.default_rng(looks)
    simulations, wrong, careless = 4000, 0, 0
    for _ in range(simulations):
        difference = source.normal(size=2 + looks).cumsum() / np.arange(1, 3 + looks)
        sizes = np.abs(difference[2:]) * np.sqrt(np.arange(3, 3 + looks))
        bounds = [stats.norm.isf((1 - level_of_look(look, looks)) / 2) for look in range(1, looks + 1)]
        wrong += (sizes > bounds).any()
        careless += (sizes > stats.norm.isf(0.025)).any()
    assert wrong / simulations <= 0.05 < careless / simulations
