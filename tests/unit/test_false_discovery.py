"""Many verdicts at once, against intervals whose p value is known and by simulation."""

import numpy as np
import pytest
from scipy.stats import norm

from frugalseg.statistics.comparisons import smallest_alpha
from frugalseg.statistics.tests import false_discovery


@pytest.mark.parametrize("distance", [0.5, 1.96, 3.0])
def test_the_p_value_is_that_of_the_test_behind_the_interval(distance):
    # A normal mean at a distance from its bound, in standard errors: the interval excludes it down to this tail.
    assert smallest_alpha(lambda tail: norm.isf(tail) < distance) == pytest.approx(norm.sf(distance), abs=2e-6)


def test_what_no_level_decides_has_the_largest_p_value():
    assert smallest_alpha(lambda tail: False) == 1
    assert smallest_alpha(lambda tail: True) == 1e-6


def test_the_share_of_false_verdicts_is_at_most_what_is_said():
    # Twenty verdicts of which fifteen are about nothing: those with q up to 0.1 are false in a tenth at most.
    source, shares = np.random.default_rng(0), []
    for _ in range(500):
        distances = np.abs(source.normal(np.repeat([0, 3.5], [15, 5])))
        stand = np.array(false_discovery(2 * norm.sf(distances))) <= 0.1
        shares.append(stand[:15].sum() / max(stand.sum(), 1))
    assert np.mean(shares) <= 0.1
    assert len(false_discovery([])) == 0
    assert false_discovery([0.01, 0.04]) == pytest.approx([0.02, 0.04])
