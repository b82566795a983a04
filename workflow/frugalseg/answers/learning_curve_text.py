"""How many more images, in words and as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from frugalseg.answers.learning_curve_answer import Answer
from frugalseg.reporting.formats import listing, plain, plural
from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.learning_curve import Forecast
from frugalseg.study.metrics import metric_of

_WARNINGS = {
    "nothing learnt": "All models score 0 on all test images, whatever they learnt from: train them longer first.",
    "few amounts": "With fewer than four numbers of images no kind of curve can be told from another.",
    "one seed": "There is one seed, so how much a training varies by chance is not known, and every interval is too narrow.",
    "not rising": "All data are not shown to be better than the fewest.",
    "falls": "Somewhere more data are shown to be worse than fewer, as no learning curve should be.",
    "noisy": "The error of a score is larger than a third of the whole rise.",
    "families disagree": "Kinds of curves that foresee these data about as well differ by more than the margin on what "
    "twice the data bring.",
    "far": "What is said of more than twice the data is a guess.",
}

#: Ends of an interval so many times apart are told without what lies between: no number of images stands for them.
_WIDE = 4

#: Faults that stand in the answer itself: without them it reads like more than it is.
_HEDGES = {"few amounts": "three numbers of images", "one seed": "one seed"}

_NOTE = (
    "Intervals are for other seeds and other test images, 95 %. ± is the standard deviation over the test images of a run; "
    "the one in brackets is that of the runs' means. Difference: to all of the data, paired by image. p: Wilcoxon's "
    "signed-rank test over the images, corrected by Holm. Equal: two one-sided tests call it so, at 5 %, with a margin of "
    "{margin}. An image of which a part of the patches was taken counts as that part."
)


def sentences(found: Answer, block: Mapping[str, Any]) -> list[str]:
    """The answer in words: first the stop rule, then what the models themselves show, then every warning.

    Parameters
    ----------
    found : Answer
    block : mapping
        Its block of ``learning_curves`` in the config.
    """
    name, margin = metric_of(block["metric"]).short, plain(block["margin"])
    foreseen = found.forecasts["images"]
    if "nothing learnt" in foreseen.warnings:
        return ["How many more are worth it cannot be said. " + _WARNINGS["nothing learnt"]]
    hedges = [text for warning, text in _HEDGES.items() if warning in foreseen.warnings]
    rule = stop_rule(foreseen, "images", f"{margin} {name}")
    return [
        f"Going by {listing(hedges)} alone: {rule[0].lower()}{rule[1:]}" if hedges else rule,
        _shown(found, f"{margin} {name}"),
        f"95 % of the score of all is reached with about {_interval(found.reach, _count, ' images')}.",
        *(_WARNINGS[warning] for warning in foreseen.warnings),
    ]


def stop_rule(foreseen: Forecast, unit: str, margin: str) -> str:
    """What to do, in one sentence, or in honest words that it cannot be said.

    Parameters
    ----------
    foreseen : Forecast
    unit : str
        What is counted, in the plural: ``images``.
    margin : str
        The gain that is not worth a doubling, with its unit: ``0.01 AP``.
    """
    doubling, enough = foreseen.doubling, foreseen.enough
    at = f"{_count(doubling.amount)} {unit}"
    gain = _interval(doubling.gain, _score)
    from_here = _interval(enough, partial(_count, followed=foreseen.followed), f" {unit}")
    if foreseen.outlook == "enough":
        if enough.high <= foreseen.grid[0]:
            return f"From {_count(foreseen.grid[0])} {unit} on, the fewest tried, a doubling gains less than {margin}."
        if enough.high > _WIDE * enough.low:
            ends = f"{_count(enough.low)} and {_count(enough.high, foreseen.followed)}"
            return f"Somewhere between {ends} {unit} the gain of the next doubling falls under {margin}."
        return f"Beyond about {from_here} the gain of the next doubling is under {margin}."
    if foreseen.outlook == "rising":
        return (
            f"At {at} the curve still rises: twice as many are expected to gain {gain}, no less than {margin}; "
            "where that ends is beyond what these data show."
        )
    return (
        f"Whether twice the {at} would gain {margin} cannot be said yet: {gain} is expected. More seeds, more test images or a "
        "larger margin would decide it."
    )


def to_markdown(found: Answer, block: Mapping[str, Any]) -> str:
    """The page of a learning curve: the answer, then what it rests on."""
    name = metric_of(block["metric"]).name
    first, *others = sentences(found, block)
    parts = [f"# {block['title']}", block["caption"], f"**{first}**", "\n".join(f"- {sentence}" for sentence in others)]
    parts += [f"## Measured: {name} on the test images of {block['test']}", _table(_measured_heads(), _measured(found))]
    parts += [_NOTE.format(margin=plain(block["margin"]))]
    parts += ["## Foreseen", _table(*_foreseen(found)), _weights_text(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(found: Answer, margin: str) -> str:
    """What the trained models show without any curve; "saturated" is said only where they were tested to be equal."""
    row = found.saturated_from
    all_images = _count(found.measured.amounts["images"].iloc[-1])
    if row is None:
        return f"No smaller number of images is shown to be as good as all {all_images} within {margin}."
    tests = "two one-sided tests" + (" over the images of one seed" if found.measured.scores.shape[1] == 1 else "")
    equal = max(found.comparisons[chain].equivalence.p for chain in found.measured.chains[row:-1])
    return (
        f"The score is saturated at {_count(found.measured.amounts['images'].iloc[row])} images: from there on it is "
        f"within {margin} of that of all {all_images} ({tests}, p {_compared_to(equal)})."
    )


def _measured_heads() -> list[str]:
    return ["Training", "Images", "Instances", "Score", "Interval", "Difference", "Interval", "p", "Equal"]


def _measured(found: Answer) -> list[list[str]]:
    rows = []
    for number, chain in enumerate(found.measured.chains):
        scores, amounts = found.measured.scores[number], found.measured.amounts.iloc[number]
        of_runs = f" (± {_score(scores.mean(axis=1).std(ddof=1))})" if len(scores) > 1 else ""
        score = f"{_score(scores.mean())} ± {_score(scores.std(axis=1, ddof=1).mean())}{of_runs}"
        row = [
            f"`{chain}`",
            _count(amounts["images"]),
            _count(amounts["instances"]),
            score,
            _ends(found.scores[number], _score),
        ]
        if chain in found.comparisons:
            compared = found.comparisons[chain]
            equal = f"{'yes' if compared.equivalence.holds else 'no'} (p {_compared_to(compared.equivalence.p)})"
            difference = compared.difference
            row += [_score(difference.value), _ends(difference, _score), _probability(compared.p), equal]
        else:
            row += ["–"] * 4
        rows.append(row)
    return rows


def _foreseen(found: Answer) -> tuple[list[str], list[list[str]]]:
    heads = ["Over", "Now", "Twice", "Score at twice", "Gain", "Enough from", "Area under the curve"]
    rows = []
    for unit, foreseen in found.forecasts.items():
        doubling = foreseen.doubling
        area = _interval(found.area, _score) if unit == "images" else "–"
        row = [unit, _count(doubling.amount), _count(2 * doubling.amount), _interval(doubling.score, _score)]
        rows.append(
            [
                *row,
                _interval(doubling.gain, _score),
                _interval(foreseen.enough, partial(_count, followed=foreseen.followed)),
                area,
            ]
        )
    return heads, rows


def _weights_text(found: Answer) -> str:
    """Which kinds of curves the forecast over images is made of."""
    weights = sorted(found.forecasts["images"].weights.items(), key=lambda item: -item[1])
    shares = listing(f"{name} {100 * weight:.0f} %" for name, weight in weights if weight >= 0.005)
    seeds = plural(found.measured.scores.shape[1], "seed")
    return (
        f"Kinds of curves, weighed by how well they foresee larger numbers of images from smaller ones: {shares}. "
        f"{seeds.capitalize()}, {found.measured.scores.shape[2]} test images."
    )


def _interval(estimate: Estimate, text: Callable[[float], str], unit: str = "") -> str:
    return f"{text(estimate.value)}{unit} ({_ends(estimate, text)})"


def _ends(estimate: Estimate, text: Callable[[float], str]) -> str:
    return f"{text(estimate.low)} to {text(estimate.high)}"


def _score(value: float) -> str:
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def _count(value: float, followed: float = math.inf) -> str:
    """A number of images; where it is infinite, only that it is more than was followed."""
    if math.isinf(value):
        return f"more than {followed:,.0f}"
    return f"{value:,.0f}" if value >= 9.5 else f"{value:.2g}"


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _compared_to(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])
