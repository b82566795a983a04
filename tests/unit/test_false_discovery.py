"""Many verdicts at once, against intervals whose p value is known and by simulation."""

import numpy as np
import pytest
from scipy.stats import norm

from frugalseg.statistics.false_discovery import SMALLEST, false_discovery, p_of_verdict


@pytest.mark.parametrize("distance", [0.5, 1.96, 3.0])
def test_the_p_value_is_that_of_the_test_behind_the_interval(distance):
    # A normal mean at a distance from its bound, in standard errors: the interval excludes it up to this level.
    p = p_of_verdict(lambda level: norm.ppf((1 + level) / 2) < distance)
    assert p == pytest.approx(2 * norm.sf(distance), rel=2e-3)


def test_what_every_level_decides_has_the_smallest_and_what_none_does_the_largest():
    assert p_of_verdict(lambda level: True) == SMALLEST
    assert p_of_verdict(lambda level: False) == 1


def test_the_share_of_false_verdicts_is_at_most_what_is_said():
    # Twenty verdicts of which fifteen are about nothing: those with q up to 0.1 are false in a tenth at most.
    source, shares = np.random.default_rng(0), []
    for _ in range(500):
        distances = np.abs(source.normal(np.repeat([0, 3.5], [15, 5])))
        stand = np.array(false_discovery(2 * norm.sf(distances))) <= 0.1
        shares.append(stand[:15].sum() / max(stand.sum(), 1))
    assert np.mean(shares) <= 0.1
    assert false_discovery([]) == []
    assert false_discovery([0.01, 0.04]) == pytest.approx([0.02, 0.04])
