"""How often the intervals hold the truth: simulated scores with known answers, at the sizes of the studies here.

    python benchmarks/interval_coverage.py

Scores are as skewed as real ones, within [0, 1], with zeros where an image fails altogether; seeds and images are
crossed. Results go to benchmarks/results: coverage.md, and a CSV a part.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from frugalseg.reporting.versions import versions
from frugalseg.statistics.comparisons import equivalence
from frugalseg.statistics.effects import effect_of_means, measure
from frugalseg.statistics.intervals import Estimate, crossed_difference, crossed_mean
from frugalseg.statistics.learning_curve import amount_to_reach, area_under_curve, forecast
from frugalseg.study.kinds.claim import ROLES
from report import write_csv, write_text

Row = dict[str, object]

RESULTS = Path(__file__).parent / "results"
#: Look -> place of the scores and weight of the long tail, on the logit scale. Real metrics of fluo look so.
LOOKS = {"like AP": (0.5, 0.22), "like PQ": (1.3, 0.22), "like Dice": (2.2, 0.18)}
#: Standard deviation over seeds on the logit scale, by name.
SEED_SPREADS = {"small": 0.05, "large": 0.2}
IMAGES = (12, 24, 60)
SEEDS = (2, 3, 5)
#: True mean scores over annotated images: still rising, saturated, and in between; the names say at 128.
CURVES = {
    "still rising": lambda n: 0.2 + 0.08 * np.log(n),
    "power law": lambda n: 0.85 - 0.6 * n**-0.35,
    "saturated": lambda n: 0.7 - 0.5 * np.exp(-n / 8),
    "flat": lambda n: 0.6 + 0 * n,
}
AMOUNTS = np.array([4.0, 8, 16, 32, 64, 128])
MARGIN = 0.01
#: Score below which nothing is found at all.
_FAILED = 0.03
_LARGE = 500_000


@dataclass(frozen=True)
class Setting:
    """One kind of scores.

    Attributes
    ----------
    look : str
        Key of `LOOKS`.
    seed_spread : str
        Key of `SEED_SPREADS`.
    seeds, images : int
        How many of each.
    """

    look: str
    seed_spread: str
    seeds: int
    images: int


def draw_scores(places: Sequence[float], setting: Setting, generator: np.random.Generator) -> NDArray[np.float64]:
    """Scores of models at some places on the logit scale, (R,) -> (R, seeds, images), on the same images.

    An image is hard for all models, and a little harder for one than for the other; seeds move a whole model; the rest
    is chance.
    """
    _, tail = LOOKS[setting.look]
    shape = len(places), setting.seeds, setting.images
    images = 0.5 * generator.standard_normal(shape[2]) - tail * generator.exponential(size=shape[2]) ** 2
    of_models = 0.2 * generator.standard_normal((shape[0], 1, shape[2]))
    of_seeds = SEED_SPREADS[setting.seed_spread] * generator.standard_normal((*shape[:2], 1))
    scores = expit(
        np.reshape(places, (-1, 1, 1)) + images + of_models + of_seeds + 0.25 * generator.standard_normal(shape)
    )
    return np.where(scores < _FAILED, 0, scores)


def expected_scores(places: Sequence[float], setting: Setting) -> NDArray[np.float64]:
    """The true mean at each place: over half a million images, each with a seed of its own, the same for all places."""
    generator = np.random.default_rng(0)
    _, tail = LOOKS[setting.look]
    spread = np.sqrt(0.5**2 + 0.2**2 + 0.25**2 + SEED_SPREADS[setting.seed_spread] ** 2)
    logits = spread * generator.standard_normal(_LARGE) - tail * generator.exponential(size=_LARGE) ** 2
    scores = (expit(place + logits) for place in places)
    return np.array([np.where(score < _FAILED, 0, score).mean() for score in scores])


def settings() -> Iterator[Setting]:
    """Every kind of scores that means and differences are measured on."""
    for look, spread, seeds, images in product(LOOKS, SEED_SPREADS, SEEDS, IMAGES):
        yield Setting(look, spread, seeds, images)


def cover_pairs(setting: Setting, simulations: int, *, bootstrap: bool = False) -> dict[str, tuple[float, float]]:
    """Coverage in percent and median width for a mean and for a difference of two models that differ.

    With `bootstrap`, that of the percentile bootstrap.

    Returns
    -------
    dict
        What -> (coverage, width).
    """
    place = LOOKS[setting.look][0]
    places = [place, place - 0.2]
    truth = expected_scores(places, setting)
    generator = np.random.default_rng(1)
    found: dict[str, list[tuple[Estimate, float]]] = {}
    for _ in range(simulations):
        values, others = draw_scores(places, setting, generator)
        if bootstrap:
            drawn = _drawn_means({"values": values, "others": others}, generator, 500)
            estimates = {
                "mean, bootstrap": _percentiles(drawn["values"]),
                "difference, bootstrap": _percentiles(drawn["values"] - drawn["others"]),
            }
        else:
            estimates = {"mean": crossed_mean(values), "difference": crossed_difference(values, others)}
        for what, estimate in estimates.items():
            answer = truth[0] - truth[1] if what.startswith("difference") else truth[0]
            found.setdefault(what, []).append((estimate, answer))
    return {what: summary(pairs) for what, pairs in found.items()}


def false_equivalences(setting: Setting, simulations: int) -> float:
    """Percent of simulations in which models that differ by exactly the margin are called equal; at most 5 is right."""
    place = LOOKS[setting.look][0]
    places = [place, place - 0.2]
    truth = expected_scores(places, setting)
    generator = np.random.default_rng(2)
    pairs = (draw_scores(places, setting, generator) for _ in range(simulations))
    return 100 * float(np.mean([equivalence(*pair, margin=truth[0] - truth[1]).holds for pair in pairs]))


def cover_shares(setting: Setting, simulations: int, *, bootstrap: bool = False) -> dict[str, tuple[float, float]]:
    """Coverage in percent and median width for the share of a score that is lost, and of the loss that is won back.

    With `bootstrap`, that of ratios of means over seeds and images drawn anew.

    Returns
    -------
    dict
        What -> (coverage, width).
    """
    place = LOOKS[setting.look][0]
    places = [place, place - 1.5, place - 0.3]
    means = dict(zip(ROLES["recovery"], expected_scores(places, setting), strict=True))
    generator = np.random.default_rng(4)
    found: dict[str, list[tuple[Estimate, float]]] = {}
    for _ in range(simulations):
        scores = dict(zip(ROLES["recovery"], draw_scores(places, setting, generator), strict=True))
        drawn = _drawn_means(scores, generator, 500) if bootstrap else {}
        for kind in ("loss", "recovery"):
            estimate = _percentiles(_drawn_effects(kind, drawn)) if bootstrap else measure(kind, scores).estimate
            pairs = found.setdefault(f"{kind}, bootstrap" if bootstrap else kind, [])
            pairs.append((estimate, effect_of_means(kind, means)))
    return {what: summary(pairs) for what, pairs in found.items()}


def _drawn_means(scores: Mapping[str, NDArray], generator: np.random.Generator, draws: int) -> dict[str, NDArray]:
    """Part -> (draws,) means over seeds and images drawn anew, the images the same for all parts."""
    images = next(iter(scores.values())).shape[1]
    weights = generator.multinomial(images, np.full(images, 1 / images), size=draws) / images
    means = {}
    for role, values in scores.items():
        seeds = generator.multinomial(len(values), np.full(len(values), 1 / len(values)), size=draws) / len(values)
        means[role] = ((seeds @ values) * weights).sum(axis=1)
    return means


def _drawn_effects(kind: str, means: Mapping[str, NDArray]) -> NDArray:
    """Losses or recoveries of drawn means."""
    before, after, restored = means.values()
    return (before - after) / before if kind == "loss" else (restored - after) / (before - after)


def _percentiles(drawn: NDArray) -> Estimate:
    """Middle and ends of 95 % of what was drawn."""
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
    return Estimate(float(middle), float(low), float(high))


def cover_curves(curve: str, setting: Setting, simulations: int, draws: int) -> dict[str, tuple[float, float]]:
    """Coverage and median width for what is said of a learning curve, and how often its outlook is wrong.

    Returns
    -------
    dict
        What -> (coverage, width); "wrong outlook" -> (percent of simulations, percent that decided).
    """
    places = logit(CURVES[curve](np.append(AMOUNTS, 2 * AMOUNTS[-1])))
    truth = expected_scores(places, setting)
    gain = truth[-1] - truth[-2]
    steps = np.diff(np.log(AMOUNTS))
    area = float((steps * (truth[1:-1] + truth[:-2]) / 2).sum() / steps.sum())
    reached = _reached(AMOUNTS, truth[:-1])
    generator = np.random.default_rng(3)
    found: dict[str, list[tuple[Estimate, float]]] = {}
    outlooks = []
    for _ in range(simulations):
        values = draw_scores(places[:-1], setting, generator)
        foreseen = forecast(AMOUNTS, values, MARGIN, generator, draws=draws)
        found.setdefault("gain of a doubling", []).append((_rounded(foreseen.doubling.gain), round(gain, 4)))
        found.setdefault("area", []).append((area_under_curve(AMOUNTS, values), area))
        found.setdefault("95 % of full", []).append((amount_to_reach(AMOUNTS, values, generator, draws=draws), reached))
        outlooks.append(foreseen.outlook)
    right = "rising" if gain >= MARGIN else "enough"
    decided = np.mean([outlook != "undecided" for outlook in outlooks])
    wrong = np.mean([outlook not in (right, "undecided") for outlook in outlooks])
    return {what: summary(pairs) for what, pairs in found.items()} | {
        "wrong outlook": (100 * float(wrong), 100 * float(decided))
    }


def summary(pairs: Sequence[tuple[Estimate, float]]) -> tuple[float, float]:
    """Percent of the intervals that hold their truth, and their median width."""
    covered = np.mean([estimate.low <= truth <= estimate.high for estimate, truth in pairs])
    return 100 * float(covered), float(np.median([estimate.high - estimate.low for estimate, _ in pairs]))


def _rounded(estimate: Estimate) -> Estimate:
    """To four digits: a gain of 0.00000 is not missed by an interval that begins at 0.00001."""
    return Estimate(round(estimate.value, 4), round(estimate.low, 4), round(estimate.high, 4))


def _reached(amounts: NDArray, curve: NDArray) -> float:
    """Where a true curve first has 95 % of its last value, straight over the logarithm between two amounts."""
    target = 0.95 * curve[-1]
    first = int((curve >= target).argmax())
    if first == 0:
        return float(amounts[0])
    part = (target - curve[first - 1]) / (curve[first] - curve[first - 1])
    return float(amounts[first - 1] * (amounts[first] / amounts[first - 1]) ** part)


def pair_rows(simulations: int) -> Iterator[Row]:
    """Rows of means and differences; the bootstrap beside them on the scores like AP, a quarter as often."""
    for setting in settings():
        yield from _rows(setting, simulations, cover_pairs(setting, simulations))
        if setting.look == "like AP":
            yield from _rows(setting, simulations // 4, cover_pairs(setting, simulations // 4, bootstrap=True))


def share_rows(simulations: int) -> Iterator[Row]:
    """Rows of shares, a quarter as often as means; the bootstrap beside them on the scores like AP."""
    for setting in settings():
        yield from _rows(setting, simulations // 4, cover_shares(setting, simulations // 4))
        if setting.look == "like AP":
            yield from _rows(setting, simulations // 4, cover_shares(setting, simulations // 4, bootstrap=True))


def equivalence_rows(simulations: int) -> Iterator[Row]:
    """Rows of models that differ by the margin and are called equal."""
    for setting in settings():
        found = {"called equal, wrongly": (false_equivalences(setting, simulations // 4), np.nan)}
        yield from _rows(setting, simulations // 4, found)


def curve_rows(simulations: int) -> Iterator[Row]:
    """Rows of learning curves, of scores like AP on 40 images; an eighth as often, as each is fitted 200 times."""
    for curve, spread, seeds in product(CURVES, SEED_SPREADS, SEEDS):
        setting = Setting("like AP", spread, seeds, 40)
        found = cover_curves(curve, setting, simulations // 8, draws=200)
        yield from ({**row, "look": curve} for row in _rows(setting, simulations // 8, found))


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "pairs": pair_rows,
    "shares": share_rows,
    "equivalence": equivalence_rows,
    "curves": curve_rows,
}


def table(rows: Sequence[Mapping[str, object]], what: str, value: str = "percent") -> str:
    """A value by look and spread of the seeds (rows), and by seeds and images (columns), as Markdown."""
    chosen = [row for row in rows if row["what"] == what]
    columns = list(dict.fromkeys((row["seeds"], row["images"]) for row in chosen))
    lines: dict[tuple, dict[tuple, str]] = {}
    for row in chosen:
        line = lines.setdefault((row["look"], row["seed_spread"]), {})
        line[row["seeds"], row["images"]] = f"{float(row[value]):{'.1f' if value == 'percent' else '.3g'}}"
    heads = ["scores", "spread of seeds", *(f"{seeds} × {images}" for seeds, images in columns)]
    body = [[*key, *(line[column] for column in columns)] for key, line in lines.items()]
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rule, *body])


def moderated_parts(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What moderated_coverage.py measured: a summary, and the coverage of differences in every setting."""
    if not rows:
        return
    yield "## With the seed variance of the study's other models (`prior=`)"
    yield _MODERATED
    heads = ["what", "seeds", "settings", "within 93 to 97 %", "least", "most", "width beside that without"]
    lines = []
    for what, seeds in dict.fromkeys((row["what"], row["seeds"]) for row in rows):
        chosen = [row for row in rows if (row["what"], row["seeds"]) == (what, seeds)]
        held = [float(row["percent"]) for row in chosen]
        ratio = np.median([float(row["width"]) / float(row["width_alone"]) for row in chosen])
        within = sum(93 <= percent <= 97 for percent in held)
        lines.append(
            [what, seeds, len(held), within, min(held), max(held), "" if np.isnan(ratio) or seeds == "1" else ratio]
        )
    yield _markdown(heads, lines)
    yield "Differences in every setting; columns are seeds: replicated models × images."
    chosen = [row for row in rows if row["what"] == "difference"]
    columns = list(dict.fromkeys((row["seeds"], row["models"], row["images"]) for row in chosen))
    cells: dict[tuple[str, str], dict[tuple, float]] = {}
    for row in chosen:
        line = cells.setdefault((row["look"], row["spread"]), {})
        line[row["seeds"], row["models"], row["images"]] = float(row["percent"])
    heads = ["scores", "spread of seeds", *(f"{seeds}: {models} × {images}" for seeds, models, images in columns)]
    yield _markdown(heads, [[*key, *(line[column] for column in columns)] for key, line in cells.items()])


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    texts = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *texts])


def page(rows: Sequence[Mapping[str, object]], moderated: Sequence[Mapping[str, str]] = ()) -> str:
    """Everything measured, as Markdown."""
    parts = ["# Coverage of the intervals", _INTRODUCTION, *moderated_parts(moderated)]
    for what, title in _TITLES.items():
        chosen = [row for row in rows if row["what"] == what]
        if not chosen:
            continue
        parts += [f"## {title}", f"{chosen[0]['simulations']} simulations each.", table(rows, what)]
        if what.startswith(("mean", "difference", "loss", "recovery")):
            parts.append(_verdict(chosen))
        if what in _WIDTHS:
            parts += [_WIDTHS[what], table(rows, what, "width")]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """\
Percent of the simulations in which a 95 % interval holds the truth; columns are seeds × test images. Made by
`python benchmarks/interval_coverage.py`. Simulated scores lie in [0, 1], an image that fails altogether has 0, seeds and
images are crossed, and images have a long tail of bad ones: skewness -0.7 like AP on fluo, -1.6 like PQ, -3 like Dice. The
spread of seeds is about 0.01 (small) or 0.04 (large) of AP.

These are not numbers on unseen data. The interval of means and differences was chosen among nine by its coverage on scores
of this kind, and how families of curves are weighed among seven, on curves of these kinds. The family "last three" was added
after gains of the curve "still rising" had been covered in 65 to 96 %, and gains are compared to four digits since those of
"saturated", 0.00000, had been missed by intervals that began just above 0 (87.6 % at the least).

What to expect: twelve or 24 images of a tail like Dice's seldom show how long it is, so a mean of them is covered too
seldom; differences, in which the tail cancels, are troubled less. With two seeds intervals hold the truth a little too
often rather than too seldom, at the price of their width. No curve falls, so the interval of a gain begins at 0 at the
least, and always holds the truth where that is 0 to four digits. Intervals of shares hold the truth rather too
often as well; a bootstrap of the same shares holds it far too seldom where seeds differ much."""

_MODERATED = """\
Made by `python benchmarks/moderated_coverage.py`: 1,000 simulations of each setting, of gains 200, in the settings counted. Whole
studies are simulated: 6 to 40 replicated models of different means, of which two or three are compared; where those compared
have one seed, the others have two. Seeds vary by 0.05 of the score (in the demo by 0.03 to 0.1): equally, log-normally over
models with a standard deviation of 0.5 or 1 of the logarithm, in proportion to m (1 - m) of the mean m, or with a fifth of the
models collapsed to nothing. Ratios are held where the interval of their numerator less the true ratio times their denominator
has 0. The estimator was tuned on settings of this kind: these are not numbers on unseen data.

With two seeds or more nine settings in ten are within 93 to 97 %. With one seed little more than half are: where all models vary
alike the interval is too wide, and where they vary by factors of ten too narrow, since a few models with two seeds do not tell
the one from the other. Means of ten images with a tail like Dice's are covered too seldom, as without a prior. The width is the
median over settings of the width beside that without a prior; with six models it gains least."""

_TITLES = {
    "mean": "Mean over seeds and images (`crossed_mean`)",
    "difference": "Difference of two models on the same images (`crossed_difference`)",
    "mean, bootstrap": "For comparison: percentile bootstrap of a mean",
    "difference, bootstrap": "For comparison: percentile bootstrap of a difference",
    "loss": "Share of a score that is lost (`crossed_ratio`)",
    "recovery": "Share of a loss that is won back (`crossed_ratio`)",
    "loss, bootstrap": "For comparison: percentile bootstrap of a share that is lost",
    "recovery, bootstrap": "For comparison: percentile bootstrap of a share that is won back",
    "called equal, wrongly": "Models that differ by the margin and are called equal (at most 5 is right)",
    "gain of a doubling": "Gain of the next doubling (`forecast`)",
    "area": "Area under the learning curve (`area_under_curve`)",
    "95 % of full": "Images that bring 95 % of the full score (`amount_to_reach`)",
    "wrong outlook": "Outlooks that are wrong: 'enough' where the gain is above the margin of 0.01, 'rising' where below",
}

#: What the second value of a row is, where it is shown.
_WIDTHS = {
    "mean": "Median width of the interval:",
    "difference": "Median width of the interval:",
    "loss": "Median width of the interval:",
    "recovery": "Median width of the interval:",
    "gain of a doubling": "Median width of the interval:",
    "95 % of full": "Median width of the interval, in images:",
    "wrong outlook": "Percent in which the outlook is not 'undecided':",
}


def _verdict(rows: Sequence[Mapping[str, object]]) -> str:
    """How many settings are within 93 to 97 %, and which are not."""
    outside = [row for row in rows if not 93 <= float(row["percent"]) <= 97]
    told = "; ".join(
        f"{row['look']}, {row['seed_spread']}, {row['seeds']} × {row['images']}: {float(row['percent']):.1f}"
        for row in outside
    )
    within = f"{len(rows) - len(outside)} of {len(rows)} settings are within 93 to 97 %."
    return f"{within} Outside: {told}." if outside else within


def _rows(setting: Setting, simulations: int, found: Mapping[str, tuple[float, float]]) -> Iterator[Row]:
    for what, (percent, width) in found.items():
        yield {"what": what, **vars(setting), "simulations": simulations, "percent": percent, "width": width}


def main() -> None:
    """Measure one part or all, keep the rows, and write the page of all that was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000, help="of a mean or a difference; of others fewer")
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS), help="measure these, keep the others")
    options = parser.parse_args()
    description = versions()
    for part in options.part:
        rows = list(PARTS[part](options.simulations))
        write_csv(RESULTS / f"coverage_{part}.csv", description, rows)
    files = [RESULTS / f"coverage_{part}.csv" for part in PARTS]
    measured = [row for file in files if file.exists() for row in _read(file)]
    moderated = RESULTS / "coverage_moderated.csv"
    write_text(RESULTS / "coverage.md", page(measured, _read(moderated) if moderated.exists() else ()))


def _read(path: Path) -> list[Row]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


if __name__ == "__main__":
    main()
