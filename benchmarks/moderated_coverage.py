"""How often intervals hold the truth when the models of a study know each other's seed variance: simulated studies.

    python benchmarks/moderated_coverage.py

A study has some models of other means and seeds that vary as the setting says; a few of them are compared. Images are as
skewed as real ones. Results go to benchmarks/results: coverage_moderated.csv and its part of coverage.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from frugalseg.reporting.versions import versions
from frugalseg.statistics.intervals import Crossed, crossed_difference
from frugalseg.statistics.learning_curve import forecast
from frugalseg.statistics.seed_variance import Prior, fit_prior
from interval_coverage import AMOUNTS, CURVES, LOOKS, MARGIN, RESULTS
from report import write_csv

#: How the standard deviations of seeds, on the scale of the score, are spread over the models of a study.
SPREADS = ("equal", "log-normal 0.5", "log-normal 1", "by the mean", "a fifth collapsed")
#: Replicated models of the study and test images.
SIZES = ((6, 30), (15, 10), (40, 100))
SEEDS = (1, 2, 3, 5)
#: Standard deviation over seeds of a model that works; in the demo it is 0.03 to 0.1 by metric and test set.
DEVIATION = 0.05
#: Places of the models that are compared: the first two, the loss from the first to the third, what the second wins back.
PLACES = (0.0, -0.2, -1.5)
_FAILED = 0.03


@dataclass(frozen=True)
class Setting:
    """A kind of study: its scores, how its seeds vary, how many seeds, replicated models and images there are."""

    look: str
    spread: str
    seeds: int
    models: int
    images: int


@lru_cache(maxsize=8)
def _true_means(look: str) -> tuple[NDArray, NDArray]:
    """Places on the logit scale, and the mean score over images at each."""
    generator, tail = np.random.default_rng(0), LOOKS[look][1]
    logits = np.sqrt(0.5**2 + 0.2**2 + 0.25**2) * generator.standard_normal(100_000)
    logits -= tail * generator.exponential(size=100_000) ** 2
    places = np.linspace(-8, 6, 141)
    scores = (expit(place + logits) for place in places)
    return places, np.array([np.where(score < _FAILED, 0, score).mean() for score in scores])


def draw_study(
    setting: Setting, compared: Sequence[float], generator: np.random.Generator
) -> tuple[list[NDArray], NDArray]:
    """Models of a study, (seeds, images) each, those compared at given places first, and their true means.

    Where the models that are compared have one seed, others, as many as the setting says, have two.
    """
    place, tail = LOOKS[setting.look]
    others = setting.models if setting.seeds == 1 else max(setting.models - len(compared), 0)
    places = np.concatenate([np.asarray(compared), place + 0.7 * generator.standard_normal(others)])
    collapsed = np.zeros(len(places), dtype=bool)
    if setting.spread == "a fifth collapsed":
        collapsed[len(places) - max(others // 5, 1) :] = True
        places[collapsed] = -7
    means = np.interp(places, *_true_means(setting.look))
    deviations = np.full(len(places), DEVIATION)
    if setting.spread.startswith("log-normal"):
        deviations *= np.exp(float(setting.spread.split()[-1]) * generator.standard_normal(len(places)))
    if setting.spread == "by the mean":
        deviations *= 4 * means * (1 - means)
    deviations[collapsed] = 0
    shape = len(places), max(setting.seeds, 2), setting.images
    images = 0.5 * generator.standard_normal(shape[2]) - tail * generator.exponential(size=shape[2]) ** 2
    noise = 0.2 * generator.standard_normal((shape[0], 1, shape[2])) + 0.25 * generator.standard_normal(shape)
    scores = expit(places[:, None, None] + images + noise)
    scores = np.where(scores < _FAILED, 0, scores) + deviations[:, None, None] * generator.standard_normal(
        (*shape[:2], 1)
    )
    models = [score[: setting.seeds] if number < len(compared) else score for number, score in enumerate(scores)]
    return models, means


def cover_pairs(setting: Setting, simulations: int) -> dict[str, tuple[float, float, float]]:
    """Coverage in percent, median width and that without a prior, of a mean, a difference, a loss and a recovery.

    A ratio is held where 0 is by the interval of its numerator less it times its denominator; it has no width here.
    """
    generator = np.random.default_rng(1)
    held: dict[str, list[bool]] = {what: [] for what in ("mean", "difference", "loss", "recovery")}
    widths, widths_alone = [], []
    for _ in range(simulations):
        places = LOOKS[setting.look][0] + np.array(PLACES)
        models, means = draw_study(setting, places, generator)
        crossed = Crossed(models[:3], _prior(models))
        first, second, low = means[:3]
        loss, recovery = (first - low) / first, (second - low) / (first - low)
        contrasts = {
            "mean": ((1, 0, 0), first),
            "difference": ((1, -1, 0), first - second),
            "loss": ((1 - loss, 0, -1), 0),
            "recovery": ((-recovery, 1, recovery - 1), 0),
        }
        for what, (coefficients, truth) in contrasts.items():
            estimate = crossed.contrast(coefficients)
            held[what].append(estimate.low <= truth <= estimate.high)
            if what == "difference":
                alone = crossed_difference(*models[:2])
                widths.append(estimate.high - estimate.low)
                widths_alone.append(alone.high - alone.low)
    width = {"difference": (float(np.median(widths)), float(np.median(widths_alone)))}
    return {what: (100 * float(np.mean(each)), *width.get(what, (np.nan, np.nan))) for what, each in held.items()}


def cover_gains(curve: str, setting: Setting, simulations: int) -> dict[str, tuple[float, float, float]]:
    """The same of the gain that the next doubling brings; to four digits, as in interval_coverage.py."""
    places = logit(CURVES[curve](np.append(AMOUNTS, 2 * AMOUNTS[-1])))
    truth = np.interp(places, *_true_means(setting.look))
    generator = np.random.default_rng(3)
    held, widths, widths_alone = [], [], []
    for _ in range(simulations):
        models, _ = draw_study(setting, places[:-1], generator)
        values = np.clip(models[: len(AMOUNTS)], 0, 1)
        gain = forecast(AMOUNTS, values, MARGIN, generator, prior=_prior(models), draws=200).doubling.gain
        held.append(round(gain.low, 4) <= round(truth[-1] - truth[-2], 4) <= round(gain.high, 4))
        widths.append(gain.high - gain.low)
        alone = forecast(AMOUNTS, values, MARGIN, generator, draws=200).doubling.gain
        widths_alone.append(alone.high - alone.low)
    return {f"gain, {curve}": (100 * float(np.mean(held)), float(np.median(widths)), float(np.median(widths_alone)))}


def _prior(models: Sequence[NDArray]) -> Prior:
    prior = fit_prior(models)
    assert prior is not None
    return prior


def rows(simulations: int) -> Iterator[dict[str, object]]:
    """A row for each setting and quantity; gains, each of which is 400 fits, a fifth as often."""
    for look, spread, seeds, size in product(("like AP", "like Dice"), SPREADS, SEEDS, SIZES):
        setting = Setting(look, spread, seeds, *size)
        yield from _rows(setting, simulations, cover_pairs(setting, simulations))
    for curve, spread, seeds in product(("still rising", "saturated"), SPREADS, SEEDS):
        setting = Setting("like AP", spread, seeds, 20, 40)
        yield from _rows(setting, simulations // 5, cover_gains(curve, setting, simulations // 5))


def _rows(setting: Setting, simulations: int, found: dict[str, tuple[float, float, float]]) -> Iterator[dict]:
    for what, (percent, width, alone) in found.items():
        print(what, setting, f"{percent:.1f} {width:.3f} {width / alone:.2f}", flush=True)
        measured = {"simulations": simulations, "percent": percent, "width": width, "width_alone": alone}
        yield {"what": what, **asdict(setting), **measured}


def main() -> None:
    """Measure everything and keep the rows; interval_coverage.py writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000, help="of a setting; of gains a fifth")
    options = parser.parse_args()
    write_csv(RESULTS / "coverage_moderated.csv", versions(), list(rows(options.simulations)))


if __name__ == "__main__":
    main()
