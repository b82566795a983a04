"""Rules that choose a cap: the published one beside a transcription, both on curves with known answers, and their null."""

import numpy as np
import pytest

from frugalseg.widths import choice
from frugalseg.widths.choice import CAPS, check_caps

RULES = list(choice.RULES.values())


def generator(seed=0):
    return np.random.default_rng(seed)


def published_slowly(curve, caps):
    """Section 6 of the paper's rule, word by word, counted from 1."""
    n = len(curve)
    low, high = min(curve), max(curve)
    s = {i: (curve[i - 1] - low) / (high - low) for i in range(1, n + 1)}
    d = {i: abs(s[i + 1] - s[i]) for i in range(1, n)}
    best, best_score = None, -np.inf
    for k in range(2, n - 2):
        after = [d[i] for i in range(k, n)]
        before = [d[i] for i in range(1, k + 1)]
        score = sum(after) / len(after) - sum(before) / len(before)
        if score > best_score + 1e-12:
            best, best_score = k, score
    return caps[best - 1]


def free_slowly(curve, caps):
    n = len(curve)
    d = [0.0, *(abs(curve[i] - curve[i - 1]) for i in range(1, n)), min(abs(curve[0]), abs(curve[-1]))]
    scores = []
    for k in range(1, n + 1):
        before, after = d[:k], d[k:]
        contrast = sum(after) / len(after) - sum(before) / len(before)
        scores.append(contrast * (len(before) * len(after)) ** 0.5)
    return caps[int(np.argmax(scores))]


def plateau(k, n=10):
    """Flat down to the k-th cap (from 1), then evenly down to 0 just beyond the last."""
    return np.minimum(1.0, (n + 1 - np.arange(1, n + 1)) / (n + 1 - k))


@pytest.mark.parametrize(
    ("rule", "slow"), [(choice.published, published_slowly), (choice.free, free_slowly)], ids=["published", "free"]
)
@pytest.mark.parametrize("number", [5, 7, 10])
def test_rules_as_transcribed(rule, slow, number):
    caps = CAPS[:number]
    curves = np.exp(0.7 * generator().standard_normal((300, number)))
    assert rule(curves, caps).tolist() == [slow(curve, caps) for curve in curves]
    assert rule(curves[0], caps) == slow(curves[0], caps)


def test_the_published_rule_on_curves_with_known_answers():
    # One collapse from 8 to 4, plateaus on both sides: d_7 = 1 is counted after k for k <= 7 and before k for k = 7.
    curve = np.array([1.0] * 7 + [0.0] * 3)
    assert choice.published(curve, CAPS) == 16
    # Steps 0.5, 0.5 and 1 from 8 on: score(7) = 2/3 - 0.5/7 beats score(6) = 2/4.
    assert choice.published(np.array([0, 0, 0, 0, 0, 0, 0, 0.5, 0, 1.0]), CAPS) == 8
    # Steps 0.1, 0.4, 0 and 0.5 from 16 on: score(6) = 0.25 - 0.1/6 beats score(7) = 0.3 - 0.5/7.
    assert choice.published(np.array([0, 0, 0, 0, 0, 0, 0.1, 0.5, 0.5, 1.0]), CAPS) == 16
    # All from 256 to 128 at once; the best that is left is to start as late as the rule can.
    assert choice.published(np.array([1.0, 1.0] + [0.0] * 8), CAPS) == 8
    # The ties of a straight line (in eighths, which have no rounding) go to the largest cap.
    assert choice.published(np.arange(9.0), CAPS[:9]) == 256


def test_the_published_rule_cannot_leave_its_range():
    curves = generator().standard_normal((20_000, 10))
    chosen = np.unique(choice.published(curves, CAPS))
    assert chosen.tolist() == [8, 16, 32, 64, 128, 256]
    assert choice.published_range(CAPS) == (256, 8)
    collapse_at_the_end = np.array([1.0] * 9 + [0.0])
    assert choice.published(collapse_at_the_end, CAPS) == 8
    assert choice.published_range(CAPS[:5]) == (256, 256)


@pytest.mark.parametrize("number", [2, 5, 10])
def test_the_free_rule_can_choose_every_cap(number):
    caps = CAPS[:number]
    # For k = 1 the curve falls from the start; for the last k it is flat, but for a trace that makes it no constant.
    curves = np.stack([plateau(k, number) for k in range(1, number + 1)])
    curves[-1, -1] -= 1e-9
    assert choice.free(curves, caps).tolist() == list(caps)


def test_the_free_rule_finds_a_noisy_end_of_the_plateau():
    flat = 1 + 0.05 * generator().standard_normal((200, 10))
    flat[:, 6:] *= np.exp(1.5 * generator(1).standard_normal((200, 4)))
    chosen = choice.free(flat, CAPS)
    # 16 is the sixth cap and the last before the noise; by chance the first noisy steps are small, never the flat ones large.
    assert CAPS[int(choice.distribution(chosen, CAPS).argmax())] == 16
    assert (chosen <= 16).mean() > 0.95


@pytest.mark.parametrize("rule", RULES)
def test_a_factor_changes_nothing(rule):
    curves = np.exp(generator().standard_normal((50, 10)))
    assert np.array_equal(rule(curves, CAPS), rule(1024 * curves, CAPS))


@pytest.mark.parametrize("rule", RULES)
def test_bad_curves(rule):
    with pytest.raises(ValueError, match="not finite"):
        rule(np.array([1.0] * 9 + [np.nan]), CAPS)
    with pytest.raises(ValueError, match="same score at all caps"):
        rule(np.stack([np.arange(10.0), np.ones(10)]), CAPS)
    with pytest.raises(ValueError, match=r"one score for each of 10 caps"):
        rule(np.arange(9.0), CAPS)
    with pytest.raises(ValueError, match="from large to small"):
        rule(np.arange(10.0), CAPS[::-1])


def test_too_few_caps():
    with pytest.raises(ValueError, match="at least 5 caps, not 4"):
        choice.published(np.arange(4.0), CAPS[:4])
    with pytest.raises(ValueError, match="at least 5 caps, not 4"):
        choice.published_range(CAPS[:4])
    with pytest.raises(ValueError, match="at least 2 caps, not 1"):
        choice.free(np.arange(1.0), CAPS[:1])


@pytest.mark.parametrize("caps", [[], [1024, 512], [8, 8], [4, 2, 0], [8, 2.5], [8, 16]])
def test_caps_that_are_none(caps):
    with pytest.raises(ValueError, match="from large to small, each once"):
        check_caps(caps)


def test_candidates():
    assert CAPS == (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)


@pytest.mark.parametrize("rule", RULES)
def test_choices_over_seeds_and_images(rule):
    values = np.exp(generator().standard_normal((3, 10, 6)))
    assert choice.over_seeds(rule, values, CAPS).tolist() == [int(rule(values[s].mean(axis=1), CAPS)) for s in range(3)]
    drawn = choice.over_images(rule, values, CAPS, draws=40, generator=generator(1))
    assert drawn.shape == (40, 3)
    # The same draws by hand: each image counted as often as it was drawn, the same for all caps and seeds.
    times = generator(1).multinomial(6, [1 / 6] * 6, size=40)
    expected = [[int(rule(np.repeat(values[s], t, axis=1).mean(axis=1), CAPS)) for s in range(3)] for t in times]
    assert drawn.tolist() == expected
    alike = np.repeat(values[:, :, :1], 6, axis=2)
    same = choice.over_images(rule, alike, CAPS, draws=5, generator=generator(2))
    assert (same == choice.over_seeds(rule, alike, CAPS)).all()


def test_distribution():
    shares = choice.distribution(np.array([[8, 8], [16, 512]]), CAPS)
    assert dict(zip(CAPS, shares.tolist(), strict=True)) == {**dict.fromkeys(CAPS, 0.0), 8: 0.5, 16: 0.25, 512: 0.25}


@pytest.mark.parametrize("values", [np.zeros((3, 10)), np.zeros((0, 10, 4)), np.zeros((3, 10, 0))])
def test_scores_of_another_form(values):
    with pytest.raises(ValueError, match=r"\(seeds, caps, images\)"):
        choice.over_seeds(choice.free, values, CAPS)


def test_the_null_is_what_the_rule_chooses_from_noise():
    null = choice.null_distribution(choice.published, CAPS, spread=0.5, draws=20_000, generator=generator())
    assert null.sum() == pytest.approx(1)
    curves = np.exp(0.5 * generator(7).standard_normal((20_000, 10)))
    shares = [(np.array([published_slowly(curve, CAPS) for curve in curves[:4000]]) == cap).mean() for cap in CAPS]
    assert np.abs(null - shares).max() < 0.03
    # Noise alone chooses the edge, 8, a third of the time, and never less.
    assert null[6] == pytest.approx(0.33, abs=0.02)
    assert null[7:].sum() == null[0] == 0


def test_the_null_of_the_free_rule_covers_all_caps():
    null = choice.null_distribution(choice.free, CAPS, spread=0.5, draws=20_000, generator=generator())
    assert (null > 0.03).all()
    # Where nothing but a trace of noise tells the caps apart, the smallest is as good as the full network.
    calm = choice.null_distribution(choice.free, CAPS, spread=0.01, draws=1000, generator=generator())
    assert calm[-1] == 1


def test_noise_level():
    noise = np.exp(0.4 * generator().standard_normal((200, 10, 1)))
    assert choice.noise_level(noise) == pytest.approx(0.4, rel=0.1)
    assert choice.noise_level(100 * noise) == pytest.approx(choice.noise_level(noise))
    with pytest.raises(ValueError, match="positive"):
        choice.noise_level(-noise)
    with pytest.raises(ValueError, match="spread above 0"):
        choice.null_distribution(choice.free, CAPS, spread=0.0, draws=10, generator=generator())


def test_against_null_finds_a_difference_and_keeps_its_level():
    null = choice.null_distribution(choice.published, CAPS, spread=0.5, draws=20_000, generator=generator())
    same = choice.against_null(np.full(10, 32), null, CAPS, draws=2000, generator=generator(1))
    assert same.p_value < 0.01
    assert same.distance == pytest.approx(1 - null[4])
    source = generator(2)
    noise = [
        choice.against_null(source.choice(CAPS, 6, p=null), null, CAPS, draws=500, generator=source).p_value
        for _ in range(300)
    ]
    assert np.mean(np.array(noise) <= 0.05) <= 0.08
    assert np.mean(noise) > 0.4


def test_a_single_choice_that_noise_makes_most_often_tells_nothing():
    null = np.array([0.0, 0.3, 0.7])
    result = choice.against_null(np.array([8]), null, [32, 16, 8], draws=1000, generator=generator())
    assert result.p_value == 1
    assert result.distance == pytest.approx(0.3)


@pytest.mark.parametrize("choices", [np.array([], int), np.array([3]), np.array([[8]])])
def test_choices_of_another_form(choices):
    with pytest.raises(ValueError, match="at least one choice, all among the caps"):
        choice.against_null(choices, np.full(10, 0.1), CAPS, draws=10, generator=generator())
