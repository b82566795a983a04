"""The Pareto front, against a slow reference that asks every pair."""

import numpy as np
import pytest

from frugalseg.statistics.pareto import pareto_front


def beaten(one, other):
    return all(b >= a for a, b in zip(one, other, strict=True)) and any(b > a for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_it_is_what_no_other_beats(columns):
    # Few values, so that many are equal in one score or in all.
    scores = np.random.default_rng(columns).integers(0, 5, (60, columns)) / 4
    expected = [not any(beaten(one, other) for other in scores) for one in scores]
    assert pareto_front(scores).tolist() == expected
    assert 0 < sum(expected) < len(scores)


def test_ties():
    # Equal in both: both on it. Equal in one and worse in the other: off it.
    scores = [(0.8, 0.1), (0.8, 0.1), (0.8, 0.05), (0.5, 0.6), (0.4, 0.6), (0.1, 0.7), (0.1, 0.7)]
    assert pareto_front(scores).tolist() == [True, True, False, True, False, True, True]


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="scores"):
        pareto_front([(0.1, np.nan), (0.2, 0.3)])
