"""Effects that claims are about, from the scores of their models, and whether an effect is on a claim's side of its bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from frugalseg.statistics.intervals import Crossed, Estimate, crossed_contrast
from frugalseg.statistics.more_runs import Needed, needed
from frugalseg.statistics.ratios import crossed_ratio, independent_difference
from frugalseg.statistics.seed_variance import Prior
from frugalseg.study.kinds.claim import ROLES

Verdict = Literal["supported", "refuted", "undecided"]
Fault = Literal["nothing learnt", "nothing to lose", "nothing lost", "start uncertain", "loss uncertain", "one seed"]

#: Kind -> weights of the parts' means, above and, for ratios, below the line.
_WEIGHTS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "gain": ({"to": 1, "from": -1}, {}),
    "equal": ({"to": 1, "from": -1}, {}),
    "different": ({"to": 1, "from": -1}, {}),
    "loss": ({"before": 1, "after": -1}, {"before": 1}),
    "recovery": ({"restored": 1, "after": -1}, {"before": 1, "after": -1}),
}


@dataclass(frozen=True)
class Effect:
    """What a claim is about, as measured, with its interval; NaN and a fault where nothing can be said of it."""

    estimate: Estimate
    fault: Fault | None = None


def measure(
    kind: str,
    scores: Mapping[str, ArrayLike],
    prior: Prior | None = None,
    other_prior: Prior | None = None,
    *,
    level: float = 0.95,
) -> Effect:
    """Measure the effect of a kind of claim.

    With the means of a score over seeds and test images, by the part that a model plays:

    - ``gain``, ``equal`` and ``different``: to - from,
    - ``loss``: (before - after) / before, the share of the score that is lost,
    - ``recovery``: (restored - after) / (before - after), the share of the loss that is won back,
    - ``asymmetry``: the loss from before to after, less that from other_before to other_after.

    Parameters
    ----------
    scores : mapping
        Part -> (seeds, images) in [0, 1], larger is better. Images are the same for all parts, but for those of an asymmetry
        that begin with ``other_``, which have their own.
    prior, other_prior : Prior, optional
        Of the seed variances on either test set.
    level : float
        Probability the interval is meant to cover, in (0, 1).
    """
    missing = [role for role in ROLES[kind] if role not in scores]
    if missing:
        raise ValueError(f"a claim of the kind {kind!r} needs the parts {', '.join(ROLES[kind])}; give {missing[0]!r}")
    if not any(np.any(scores[role]) for role in ROLES[kind]):
        return Effect(Estimate(math.nan, math.nan, math.nan), "nothing learnt")
    if kind == "asymmetry":
        return _asymmetry(scores, prior, other_prior, level)
    above, below = _WEIGHTS[kind]
    models = [scores[role] for role in ROLES[kind]]
    numerator, denominator = ([weights.get(role, 0.0) for role in ROLES[kind]] for weights in (above, below))
    if not below:
        return Effect(crossed_contrast(models, numerator, prior=prior, level=level))
    estimate = crossed_ratio(models, numerator, denominator, prior=prior, level=level)
    if math.isnan(estimate.value):
        return Effect(estimate, "nothing to lose" if kind == "loss" else "nothing lost")
    if math.isinf(estimate.low) or math.isinf(estimate.high):
        return Effect(estimate, "start uncertain" if kind == "loss" else "loss uncertain")
    return Effect(estimate)


def more_runs(
    kind: str, scores: Mapping[str, ArrayLike], claim: Mapping[str, Any], prior: Prior | None = None
) -> Needed:
    """How many more seeds of its models or test images would decide a claim, if means stayed as they are.

    Nothing is said of an asymmetry, whose directions have images of their own.
    """
    if kind == "asymmetry":
        return Needed()
    above, below = ([weights.get(role, 0.0) for role in ROLES[kind]] for weights in _WEIGHTS[kind])
    models = Crossed([scores[role] for role in ROLES[kind]], prior)
    bound = claim.get("at_least", claim.get("at_most"))
    if bound is None:
        # The nearer end of the margin.
        bound = math.copysign(claim["margin"], models.contrast(above).value)
    if not any(below):
        return needed(models, above, bound)
    return needed(models, [a - bound * b for a, b in zip(above, below, strict=True)])


def effect_of_means(kind: str, means: Mapping[str, float]) -> float:
    """The effect that :func:`measure` describes, of means that are printed somewhere; NaN where there is no such effect."""
    if kind == "asymmetry":
        first, second = (
            effect_of_means("loss", {role: means[f"{prefix}{role}"] for role in ROLES["loss"]})
            for prefix in ("", "other_")
        )
        return first - second
    above, below = (math.fsum(weight * means[role] for role, weight in weights.items()) for weights in _WEIGHTS[kind])
    if not _WEIGHTS[kind][1]:
        return above
    return above / below if below > 0 else math.nan


def judge(effect: Effect, claim: Mapping[str, Any]) -> Verdict:
    """Hold an effect against the bound of its claim (``at_least``, ``at_most`` or ``margin``).

    "supported" where the whole interval lies on the claim's side of its bound, "refuted" where it lies wholly on the
    other, else "undecided". Two are ``equal`` where it lies within the margin, which is what two one-sided tests of
    2.5 % each ask for (Schuirmann 1987), and ``different`` where it lies beyond, above or below.
    """
    low, high = effect.estimate.low, effect.estimate.high
    if math.isnan(effect.estimate.value) or effect.fault == "one seed":
        return "undecided"
    if "at_least" in claim:
        return _side(low >= claim["at_least"], high < claim["at_least"])
    if "at_most" in claim:
        return _side(high <= claim["at_most"], low > claim["at_most"])
    within = -claim["margin"] < low and high < claim["margin"]
    beyond = low > claim["margin"] or high < -claim["margin"]
    return _side(within, beyond) if claim["effect"] == "equal" else _side(beyond, within)


def _asymmetry(scores: Mapping[str, ArrayLike], prior: Prior | None, other_prior: Prior | None, level: float) -> Effect:
    first, second = (
        measure("loss", {role: scores[f"{prefix}{role}"] for role in ROLES["loss"]}, known, level=level)
        for prefix, known in (("", prior), ("other_", other_prior))
    )
    fault = first.fault or second.fault
    # A direction in which nothing was learnt has nothing to lose.
    fault = "nothing to lose" if fault == "nothing learnt" else fault
    return Effect(independent_difference(first.estimate, second.estimate), fault)


def _side(on_its: bool, on_the_other: bool) -> Verdict:
    if on_its:
        return "supported"
    return "refuted" if on_the_other else "undecided"
