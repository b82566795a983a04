"""Effects of claims: known answers, ratios of means with their intervals, pairing by image, and how often they cover."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from frugalseg.statistics.effects import Effect, effect_of_means, judge, measure
from frugalseg.statistics.intervals import Estimate, crossed_difference
from frugalseg.statistics.ratios import crossed_ratio, independent_difference
from frugalseg.study.kinds.claim import ROLES

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import interval_coverage


def generator(seed=0):
    return np.random.default_rng(seed)


def scores(*means, seeds=3, images=40, spread=0.01, difficulty=0.1, source=None):
    """(seeds, images) of models with given means on the same images, which are hard for all of them alike."""
    source = source or generator()
    hard = difficulty * source.uniform(-1, 1, images)
    return [mean + hard - hard.mean() + spread * source.normal(size=(seeds, images)) for mean in means]


def parts(kind, *means, **options):
    return dict(zip(ROLES[kind], scores(*means, **options), strict=True))


@pytest.mark.parametrize(
    ("kind", "means", "expected"),
    [
        ("gain", (0.5, 0.625), 0.125),
        ("equal", (0.5, 0.375), -0.125),
        ("different", (0.5, 0.375), -0.125),
        ("loss", (0.8, 0.2), 0.75),
        ("recovery", (0.8, 0.3, 0.7), 0.8),
        ("asymmetry", (0.8, 0.2, 0.5, 0.4), 0.75 - 0.2),
    ],
)
def test_effects_of_means_and_of_scores_are_the_same(kind, means, expected):
    assert effect_of_means(kind, dict(zip(ROLES[kind], means, strict=True))) == pytest.approx(expected)
    # Without any chance the interval is a point.
    effect = measure(kind, parts(kind, *means, spread=0, difficulty=0))
    assert effect.fault is None
    found = effect.estimate
    assert (found.value, found.low, found.high) == pytest.approx((expected,) * 3, abs=1e-9)


def test_a_share_is_a_ratio_of_means_and_no_mean_of_ratios():
    before, after = np.array([[0.2, 0.8, 0.8]]), np.array([[0.2, 0.4, 0.4]])
    assert measure("loss", {"before": before, "after": after}).estimate.value == pytest.approx(0.8 / 1.8)
    assert np.mean(1 - after / before) == pytest.approx(1 / 3)


def test_the_ends_of_a_ratio_are_where_the_contrast_reaches_nothing():
    before, after = scores(0.7, 0.3, spread=0.05)
    found = crossed_ratio([before, after], [1, -1], [1, 0])
    # Slow reference: every ratio for which before - after - ratio before may be 0.
    grid = np.arange(0.4, 0.8, 1e-3)
    tested = [crossed_difference(before * (1 - ratio), after) for ratio in grid]
    possible = [ratio for ratio, rest in zip(grid, tested, strict=True) if rest.low <= 0 <= rest.high]
    assert (found.low, found.high) == pytest.approx((possible[0], possible[-1]), abs=2e-3)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(1 - after.mean() / before.mean())


def test_a_ratio_keeps_its_interval_when_scores_are_scaled():
    before, after = scores(0.7, 0.3, spread=0.05)
    once, half = (crossed_ratio([factor * before, factor * after], [1, -1], [1, 0]) for factor in (1, 0.5))
    assert (once.low, once.high) == pytest.approx((half.low, half.high))


def test_pairing_by_image_narrows_the_interval():
    before, after = scores(0.7, 0.3, difficulty=0.25, seeds=2)
    shuffled = after[:, generator(1).permutation(after.shape[1])]
    for kind, roles in (("gain", ("to", "from")), ("loss", ("before", "after"))):
        paired, unpaired = (
            measure(kind, dict(zip(roles, (before, other), strict=True))).estimate for other in (after, shuffled)
        )
        assert paired.value == pytest.approx(unpaired.value)
        assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)


def test_two_directions_add_up_their_errors():
    first, second = Estimate(0.9, 0.8, 0.95), Estimate(0.4, 0.2, 0.5)
    found = independent_difference(first, second)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5 - math.hypot(0.1, 0.1))
    assert found.high == pytest.approx(0.5 + math.hypot(0.05, 0.2))
    forth, back = scores(0.8, 0.1), scores(0.6, 0.3, images=25, source=generator(3))
    effect = measure("asymmetry", dict(zip(ROLES["asymmetry"], (*forth, *back), strict=True)))
    losses = (measure("loss", dict(zip(("before", "after"), pair, strict=True))).estimate for pair in (forth, back))
    assert effect.estimate == independent_difference(*losses)


@pytest.mark.parametrize(
    ("kind", "means", "fault"),
    [
        ("gain", (0, 0), "nothing learnt"),
        ("loss", (0, 0.2), "nothing to lose"),
        ("recovery", (0.5, 0.5, 0.6), "nothing lost"),
        ("recovery", (0.4, 0.5, 0.6), "nothing lost"),
        ("asymmetry", (0.8, 0.2, 0, 0), "nothing to lose"),
    ],
)
def test_what_is_not_there_has_no_effect(kind, means, fault):
    effect = measure(kind, parts(kind, *means, spread=0, difficulty=0))
    assert effect.fault == fault
    assert math.isnan(effect.estimate.value)
    bound = {"margin": 0.1} if kind in ("equal", "different") else {"at_most": 9}
    assert judge(effect, {"effect": kind, **bound}) == "undecided"


def test_of_a_loss_that_may_be_none_no_share_can_be_told():
    source = generator(5)
    before, after, restored = (mean + 0.2 * source.normal(size=(2, 12)) for mean in (0.52, 0.5, 0.52))
    effect = measure("recovery", {"before": before, "after": after, "restored": restored})
    assert effect.fault == "loss uncertain"
    assert (effect.estimate.low, effect.estimate.high) == (-math.inf, math.inf)
    assert judge(effect, {"effect": "recovery", "at_least": 0.8}) == "undecided"
    rare = np.array([[0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0.4]])
    assert measure("loss", {"before": rare, "after": 0 * rare}).fault == "start uncertain"


@pytest.mark.parametrize(
    ("bound", "ends", "expected"),
    [
        ({"effect": "gain", "at_least": 0.1}, (0.1, 0.3), "supported"),
        ({"effect": "gain", "at_least": 0.1}, (-0.3, 0.09), "refuted"),
        ({"effect": "gain", "at_least": 0.1}, (0.0, 0.1), "undecided"),
        ({"effect": "loss", "at_most": 0.1}, (-0.2, 0.1), "supported"),
        ({"effect": "loss", "at_most": 0.1}, (0.11, 0.3), "refuted"),
        ({"effect": "loss", "at_most": 0.1}, (0.0, 0.3), "undecided"),
        ({"effect": "equal", "margin": 0.1}, (-0.09, 0.09), "supported"),
        ({"effect": "equal", "margin": 0.1}, (-0.3, -0.11), "refuted"),
        ({"effect": "equal", "margin": 0.1}, (0.11, 0.3), "refuted"),
        ({"effect": "equal", "margin": 0.1}, (-0.11, 0.05), "undecided"),
        ({"effect": "different", "margin": 0.1}, (-0.3, -0.11), "supported"),
        ({"effect": "different", "margin": 0.1}, (0.11, 0.3), "supported"),
        ({"effect": "different", "margin": 0.1}, (-0.09, 0.09), "refuted"),
        ({"effect": "different", "margin": 0.1}, (-0.2, 0.2), "undecided"),
    ],
)
def test_the_whole_interval_decides(bound, ends, expected):
    assert judge(Effect(Estimate(sum(ends) / 2, *ends)), bound) == expected


@pytest.mark.parametrize(("true_gain", "expected"), [(0.2, "supported"), (-0.1, "refuted"), (0.1, "undecided")])
def test_verdicts_follow_known_effects(true_gain, expected):
    verdicts = [
        judge(
            measure("gain", parts("gain", 0.5, 0.5 + true_gain, spread=0.05, source=generator(number))),
            {"effect": "gain", "at_least": 0.1},
        )
        for number in range(200)
    ]
    # At its very bound a claim may be decided in one of twenty.
    assert verdicts.count(expected) >= (180 if expected == "undecided" else 200)


def test_one_seed_knows_other_images_only():
    before, after = scores(0.7, 0.3, seeds=3, spread=0.02)
    before, after = (values + 0.03 * generator(7).normal(size=(3, 1)) for values in (before, after))
    alone = measure("loss", {"before": before[:1], "after": after[:1]}).estimate
    together = measure("loss", {"before": before, "after": after}).estimate
    assert alone.high - alone.low < together.high - together.low


def test_a_part_that_is_missing_is_named():
    with pytest.raises(ValueError, match="needs the parts before, after, restored; give 'restored'"):
        measure("recovery", {"before": np.ones((1, 3)), "after": np.ones((1, 3))})


def test_intervals_of_shares_hold_the_truth():
    setting = interval_coverage.Setting("like AP", "large", 2, 24)
    covered = interval_coverage.cover_shares(setting, 100) | interval_coverage.cover_shares(
        setting, 100, bootstrap=True
    )
    for what in ("loss", "recovery"):
        # Of a hundred intervals of 95 %, fewer than 89 hold the truth in one of a hundred; a bootstrap of two seeds has no chance.
        assert covered[what][0] >= 89 > covered[f"{what}, bootstrap"][0]
