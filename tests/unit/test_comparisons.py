"""Equivalence by two one-sided tests, and models against a reference."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from frugalseg.statistics.comparisons import compare, equivalence
from frugalseg.statistics.tests import holm

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import interval_coverage


def pair(difference, spread=0.05, images=30):
    """One seed each; differences over images are symmetric, so that the tests are plain t tests."""
    steps = np.linspace(-1, 1, images)
    others = np.random.default_rng(0).uniform(0.3, 0.6, (1, images))
    return others + difference + spread * steps / steps.std(ddof=1), others


@pytest.mark.parametrize("difference", [-0.012, 0.0, 0.007, 0.03])
def test_p_is_that_of_the_two_t_tests(difference):
    values, others = pair(difference)
    paired = values[0] - others[0]
    below = stats.ttest_1samp(paired, -0.02, alternative="greater").pvalue
    above = stats.ttest_1samp(paired, 0.02, alternative="less").pvalue
    found = equivalence(values, others, margin=0.02)
    larger = max(below, above)
    assert found.p == pytest.approx(larger if larger < 0.5 else 1, abs=1e-5)
    assert found.holds == (larger <= 0.05)
    assert found.difference.value == pytest.approx(difference)
    assert found.difference.high - difference == pytest.approx(stats.t.ppf(0.95, 29) * 0.05 / 30**0.5)


def test_few_images_do_not_make_models_equal():
    values, others = pair(0.0, images=4)
    assert stats.ttest_1samp(values[0] - others[0], 0).pvalue > 0.9
    assert not equivalence(values, others, margin=0.02).holds
    assert equivalence(values, values, margin=0.02).p == pytest.approx(1e-6)


def test_models_that_differ_by_the_margin_are_seldom_called_equal():
    """At most 5 %, and two standard errors of 200 simulations."""
    for seeds in (2, 5):
        assert (
            interval_coverage.false_equivalences(interval_coverage.Setting("like AP", "small", seeds, 24), 200)
            <= 5 + 3.1
        )


def test_seeds_that_differ_much_forbid_the_claim():
    values, others = (np.repeat(array, 3, axis=0) for array in pair(0.0, spread=0.01))
    assert equivalence(values, others, margin=0.02).holds
    shaken = values + np.array([[-0.05], [0.0], [0.05]])
    assert not equivalence(shaken, others, margin=0.02).holds


def test_models_are_compared_with_the_reference_and_corrected_for_their_number():
    source = np.random.default_rng(3)
    reference = source.uniform(0.4, 0.6, (3, 20))
    models = {
        "same": reference + source.normal(0, 0.004, (3, 20)),
        "worse": reference - 0.1 + source.normal(0, 0.01, (2, 20)).mean(axis=0),
    }
    found = compare(models, reference, margin=0.02)
    alone = [stats.wilcoxon((model - reference).mean(axis=0), method="exact").pvalue for model in models.values()]
    assert [comparison.p for comparison in found.values()] == pytest.approx(holm(alone).tolist())
    assert found["same"].equivalence.holds
    assert not found["worse"].equivalence.holds
    assert found["worse"].difference.high < 0
    assert compare({}, reference, margin=0.02) == {}


@pytest.mark.parametrize(
    ("changes", "message"), [({"margin": 0}, "margin: must be above 0"), ({"alpha": 0.5}, "2 alpha")]
)
def test_equivalence_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        equivalence(*pair(0), **{"margin": 0.02} | changes)
