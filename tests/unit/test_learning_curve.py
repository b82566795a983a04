"""Learning curves: fits beside a slow reference, known answers of drawn curves, and what is said of bad ones."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls

from frugalseg.statistics.curve_draws import draw_curves, score_variances, seed_errors
from frugalseg.statistics.curve_fits import FAMILIES, family_weights, fit
from frugalseg.statistics.intervals import crossed_mean
from frugalseg.statistics.learning_curve import amount_to_reach, area_under_curve, faults, forecast

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import interval_coverage

AMOUNTS = np.array([4.0, 8, 16, 32, 64, 128])
CURVES = {
    "flat": lambda n: 0.6 + 0 * n,
    "logarithmic": lambda n: 0.2 + 0.08 * np.log(n),
    "last three": lambda n: 0.2 + 0.08 * np.log(n),
    "power law": lambda n: 0.8 - 0.7 * n**-0.5,
    "exponential": lambda n: 0.7 - 0.5 * np.exp(-n / 20),
    "inverse": lambda n: 0.75 - 0.5 / (1 + n / 10),
}


def generator(seed=0):
    return np.random.default_rng(seed)


def scores(curve, amounts=AMOUNTS, seeds=3, images=30, seed_spread=0.004, noise=0.02, seed=0):
    """(R, S, I) of a known mean curve: images differ, seeds differ, the rest is chance."""
    source = generator(seed)
    difficulty = source.uniform(-0.1, 0.1, images)
    difficulty -= difficulty.mean()
    of_seeds = source.normal(0, seed_spread, (len(amounts), seeds, 1))
    means = np.asarray(curve(amounts))[:, None, None]
    return np.clip(means + difficulty + of_seeds + source.normal(0, noise, (len(amounts), seeds, images)), 0, 1)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_finds_its_own_curve_and_follows_it(name):
    found = fit(FAMILIES[name], AMOUNTS, CURVES[name](AMOUNTS)[None], np.ones(6))
    beyond = np.array([128.0, 256])
    # The shape is the nearest of a list.
    np.testing.assert_allclose(found.predict(AMOUNTS)[0], CURVES[name](AMOUNTS), atol=0.006)
    np.testing.assert_allclose(found.predict(beyond)[0], CURVES[name](beyond), atol=0.006)


@pytest.mark.parametrize("name", ["logarithmic", "power law", "exponential", "inverse"])
def test_a_fit_is_the_best_of_all_shapes_with_a_rise_of_at_least_nothing(name):
    family, weights = FAMILIES[name], np.array([1.0, 2, 1, 4, 1, 3])
    curves = np.clip(CURVES[name](AMOUNTS) + generator(1).normal(0, 0.08, (20, 6)), 0, 0.7)
    found = fit(family, AMOUNTS, curves, weights)
    errors = ((found.predict(AMOUNTS) - curves) ** 2) @ weights
    for curve, error, level in zip(curves, errors, found.level, strict=True):
        best = np.inf
        for basis in family.basis(AMOUNTS, family.shapes(AMOUNTS)[:, None]):
            # A level of either sign and a rise that is not negative, by non-negative least squares.
            design = np.stack([np.ones(6), -np.ones(6), basis], axis=1) * np.sqrt(weights)[:, None]
            solution, residual = nnls(design, curve * np.sqrt(weights))
            if not family.levels_off or solution[0] - solution[1] <= 1:
                best = min(best, residual**2)
        if level < 1:
            assert error == pytest.approx(best, rel=1e-6, abs=1e-9)


def test_no_curve_goes_beyond_the_best_score_nor_falls():
    steep = np.array([[0.1, 0.3, 0.5, 0.7, 0.9, 0.99], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]])
    far = np.geomspace(4, 1e6, 50)
    for family in FAMILIES.values():
        predicted = fit(family, AMOUNTS, steep, np.ones(6)).predict(far)
        assert predicted.max() <= 1
        assert (np.diff(predicted, axis=1) >= 0).all()
        np.testing.assert_allclose(predicted[1], predicted[1, 0])


def test_weights_are_those_of_foresight_by_loops():
    curve, variances = scores(CURVES["inverse"]).mean(axis=(1, 2))[None], np.full(6, 1e-4)
    product = np.ones(len(FAMILIES))
    for number, family in enumerate(FAMILIES.values()):
        for cut in (3, 4, 5):
            found = fit(family, AMOUNTS[:cut], curve[:, :cut], 1 / variances[:cut])
            # Amounts up to four times the last that was seen.
            seen = [place for place in range(cut, 6) if AMOUNTS[place] <= 4 * AMOUNTS[cut - 1]]
            errors = [(found.predict(AMOUNTS[[place]])[0, 0] - curve[0, place]) ** 2 for place in seen]
            product[number] /= np.mean(errors) + 1e-4
    np.testing.assert_allclose(family_weights(AMOUNTS, curve, variances)[0], product / product.sum())


@pytest.mark.parametrize("name", ["logarithmic", "power law", "exponential"])
def test_the_family_that_made_the_curve_foresees_it_best(name):
    amounts = np.geomspace(2, 512, 9)
    weights = family_weights(amounts, CURVES[name](amounts)[None], np.full(9, 1e-7))[0]
    best = list(FAMILIES)[weights.argmax()]
    # On a straight line its last three points are as good.
    assert best in ({"logarithmic", "last three"} if name == "logarithmic" else {name})


def test_a_good_fit_alone_gives_no_weight():
    """A power law fits the first amounts of a curve that then stops as well as any; it does not foresee the stop."""
    curve = np.array([[0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6]])
    amounts = np.geomspace(4, 512, 8)
    weights = dict(zip(FAMILIES, family_weights(amounts, curve, np.full(8, 1e-5))[0], strict=True))
    assert weights["logarithmic"] < 0.02


def test_drawn_curves_spread_as_their_parts_do():
    values = scores(CURVES["power law"], seeds=5, images=60, seed_spread=0.02, noise=0.01)
    drawn = draw_curves(values, generator(1), 20_000)
    np.testing.assert_allclose(drawn.mean(axis=0), values.mean(axis=(1, 2)), atol=0.002)
    # What images add is common to all amounts; what seeds add is not. Both are widened as t distributions are.
    means = values.mean(axis=1)
    common = np.cov(means)[0, 5] / 60 * 59 / 57
    assert np.cov(drawn.T)[0, 5] == pytest.approx(common, rel=0.1)
    freedom = 6 * 4 - 2
    own = seed_errors(values)[2] ** 2 * freedom / (freedom - 2) + means[2].var(ddof=1) / 60 * 59 / 57
    assert drawn[:, 2].var() == pytest.approx(own, rel=0.1)


def test_seed_errors_are_those_built_in_and_none_of_one_seed():
    falling = np.geomspace(0.08, 0.01, 6)
    found = []
    for seed in range(60):
        values = scores(CURVES["flat"], seeds=3, noise=0.02, seed_spread=0, seed=seed)
        values += generator(1000 + seed).normal(size=(6, 3, 1)) * falling[:, None, None]
        found.append(seed_errors(values) ** 2)
    np.testing.assert_allclose(np.sqrt(np.median(found, axis=0)) * 3**0.5, falling, rtol=0.3)
    assert seed_errors(values[:, :1]).tolist() == [0] * 6
    assert (score_variances(values[:, :1]) > 0).all()


def test_a_saturated_curve_has_enough_from_where_doublings_stop_to_pay():
    curve = lambda n: 0.7 - 0.5 * np.exp(-n / 8)  # noqa: E731
    found = forecast(AMOUNTS, scores(curve, seeds=5), 0.01, generator())
    grid = np.geomspace(4, 128, 2000)
    true = grid[np.flatnonzero(curve(2 * grid) - curve(grid) >= 0.01)[-1]]
    assert found.outlook == "enough"
    assert found.enough.low <= true <= found.enough.high <= 128
    assert found.doubling.gain.value < 0.003
    assert "falls" not in found.warnings


def test_a_rising_curve_rises():
    found = forecast(AMOUNTS, scores(CURVES["logarithmic"]), 0.01, generator())
    assert found.outlook == "rising"
    assert found.doubling.gain.low <= 0.08 * np.log(2) <= found.doubling.gain.high
    assert found.enough.value > 256
    assert found.enough.high == np.inf
    assert "far" in found.warnings
    assert found.doubling.amount == 128
    assert found.grid[-1] == pytest.approx(256)
    assert (found.low <= found.high).all()
    assert sum(found.weights.values()) == pytest.approx(1)


def test_noisy_curves_are_undecided_and_say_why():
    weak = lambda n: 0.5 + 0.01 * np.log(n)  # noqa: E731
    curves = [scores(weak, seeds=2, seed_spread=0.05, seed=seed) for seed in range(8)]
    found = [forecast(AMOUNTS, values, 0.01, generator(), draws=200) for values in curves]
    assert {forecast.outlook for forecast in found} == {"undecided"}
    assert all("not rising" in forecast.warnings for forecast in found)
    assert sum("noisy" in forecast.warnings for forecast in found) >= 6


def test_flat_from_the_first_amount_on():
    found = forecast(AMOUNTS, scores(CURVES["flat"], seeds=5, seed_spread=0.001), 0.01, generator())
    assert found.outlook == "enough"
    assert found.enough.value == 4
    assert "not rising" in found.warnings


def test_faults_of_curves():
    well = scores(CURVES["power law"], seed_spread=0.002)
    assert faults(well) == ()
    assert faults(well[:3]) == ("few amounts",)
    assert faults(well[:, :1]) == ("one seed",)
    assert "not rising" in faults(well[::-1])
    assert faults(0 * well) == ("nothing learnt", "not rising", "noisy")
    bent = well.copy()
    bent[3] -= 0.2
    assert "falls" in faults(bent)


def test_the_same_generator_gives_the_same_forecast():
    values = scores(CURVES["inverse"])
    first, second, other = (forecast(AMOUNTS, values, 0.01, generator(seed), draws=200) for seed in (0, 0, 1))
    assert first.doubling == second.doubling
    assert first.doubling != other.doubling
    assert first.doubling.gain.value == other.doubling.gain.value


@pytest.mark.parametrize(("curve", "outlook"), [("saturated", "rising"), ("still rising", "enough")])
def test_a_wrong_outlook_is_rare(curve, outlook):
    """Forty skewed, clipped curves on 40 images, whose means are no curve of any family."""
    setting = interval_coverage.Setting("like AP", "small", 3, 40)
    found = interval_coverage.cover_curves(curve, setting, 40, draws=100)
    wrong, decided = found["wrong outlook"]
    assert wrong <= 2.5
    assert decided > 10
    assert found["area"][0] >= 85
    assert found["95 % of full"][0] >= 85


def test_the_area_is_that_of_trapezia_over_the_logarithm():
    amounts = np.array([1.0, 2, 8])
    values = scores(lambda n: np.array([0.2, 0.4, 0.6]), amounts)
    estimate = area_under_curve(amounts, values)
    by_seed = (values[0] + values[1]) / 2 / 3 + (values[1] + values[2]) / 2 * 2 / 3
    assert estimate == crossed_mean(by_seed) or estimate.value == pytest.approx(by_seed.mean())
    assert (estimate.low, estimate.high) == pytest.approx((crossed_mean(by_seed).low, crossed_mean(by_seed).high))


def test_the_amount_that_reaches_a_share_lies_on_the_line_between_two():
    flat = np.zeros((4, 3, 10)) + np.array([0.2, 0.4, 0.6, 0.5])[:, None, None]
    amounts = np.array([1.0, 4, 16, 64])
    # 90 % of 0.5 is a quarter of the way from 0.4 to 0.6.
    estimate = amount_to_reach(amounts, flat, generator(), share=0.9, draws=50)
    assert estimate.value == pytest.approx(4 * 4**0.25)
    assert estimate.low == pytest.approx(estimate.high)
    assert amount_to_reach(amounts, flat, generator(), share=0.3, draws=50).value == 1
    noisy = amount_to_reach(AMOUNTS, scores(CURVES["power law"], seed_spread=0.02), generator())
    assert 4 <= noisy.low < noisy.value < noisy.high <= 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amounts": [1, 2]}, "amounts: must be a list of 3 or more"),
        ({"amounts": [1, 2, 4, 8, 8, 16]}, "amounts: must grow"),
        ({"values": np.ones((6, 30))}, r"values: must be \(6 amounts, seeds, two images or more\)"),
        ({"values": np.full((6, 3, 30), 1.5)}, "values: must be scores from 0 to 1"),
        ({"margin": 0}, "margin: must be above 0"),
        ({"level": 1}, "level: must be between 0 and 1"),
    ],
)
def test_what_is_no_learning_curve_is_refused(changes, message):
    arguments = {"amounts": AMOUNTS, "values": scores(CURVES["flat"]), "margin": 0.01} | changes
    with pytest.raises(ValueError, match=message):
        forecast(**arguments, generator=generator())
