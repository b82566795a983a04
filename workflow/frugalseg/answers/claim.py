"""Verdicts on a study's claims: what is measured for each, which side of its bound that lies on, and what was published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.answers.answer import Answer, Asked
from frugalseg.answers.claim_figure import LOOKS, draw_verdicts
from frugalseg.answers.scores import read_scores
from frugalseg.reporting import prose
from frugalseg.reporting.formats import MISSING, score
from frugalseg.statistics.effects import Effect, Verdict, effect_of_means, judge, measure
from frugalseg.study.claims import Measured, Printed, claim_requests, measured_by_role, printed_means, tests_of_roles
from frugalseg.study.metrics import METRICS

QUESTION = "Do the study's claims hold on these data?"


@dataclass(frozen=True)
class Judged:
    """A claim with its effect as measured, its verdict, its numbers of test images and the published means, if any."""

    name: str
    claim: Mapping[str, Any]
    effect: Effect
    verdict: Verdict
    images: tuple[int, ...]
    printed: Printed | None = None

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def published(self) -> float:
        """The effect of the published means; NaN where there are none."""
        return effect_of_means(self.claim["kind"], self.printed.means) if self.printed else math.nan

    @property
    def has_published(self) -> bool:
        return not math.isnan(self.published)

    @property
    def printed_else(self) -> bool:
        """Whether another metric was published, or other test sets."""
        ours = tuple(dict.fromkeys(tests_of_roles(self.claim).values()))
        return (self.printed.metric, self.printed.tests) != (self.claim["metric"], ours)

    @property
    def says(self) -> str | None:
        """The publication's words on the claim."""
        return self.claim.get("published", {}).get("says")

    @property
    def one_seed(self) -> bool:
        """Whether the interval knows nothing of how much a training varies by chance."""
        return len(self.claim["seeds"]) == 1

    @property
    def alone(self) -> bool:
        """Whether it was decided by one seed alone."""
        return self.one_seed and self.verdict != "undecided"

    @property
    def said(self) -> str:
        """The verdict with its hedge."""
        word = "cannot be decided" if self.verdict == "undecided" else self.verdict
        return f"{word}, by one seed alone" if self.alone else word

    @property
    def measured(self) -> bool:
        """Whether there is an effect at all."""
        return not math.isnan(self.effect.estimate.value)

    @property
    def effect_text(self) -> str:
        """The effect with its interval."""
        if not self.measured:
            return MISSING
        low, high = self.effect.estimate.low, self.effect.estimate.high
        if math.isinf(low) and math.isinf(high):
            return f"{self.text(self.effect.estimate.value)} (anything is possible)"
        low = "no limit below" if math.isinf(low) else self._digits(low)
        high = "no limit above" if math.isinf(high) else self._digits(high)
        return f"{self.text(self.effect.estimate.value)} ({low} to {high})"

    def text(self, value: float) -> str:
        """An effect of the claim's kind: a difference, a share in percent, or percentage points."""
        return self._digits(value) + LOOKS[self.claim["kind"]].unit

    def _digits(self, value: float) -> str:
        look = LOOKS[self.claim["kind"]]
        return score(look.scale * value, look.digits, sign=look.signed)


def answer(asked: Asked) -> Answer:
    """Which of a study's claims hold; the block of `asked` is every claim by name."""
    files = {(*model, test): path for (model, test), path in asked.metrics.items()}
    published = next(iter(asked.files.get("published", ())), None)
    judged = judge_claims(asked.block, files, published)
    return Answer(
        table=to_table(judged),
        text=to_markdown(judged),
        question=QUESTION,
        sentences=sentences(judged),
        figure=draw_verdicts(judged),
    )


def judge_claims(
    claims: Mapping[str, Mapping[str, Any]], files: Mapping[Measured, str | Path], published: str | Path | None = None
) -> list[Judged]:
    """Measure the effect of every claim and hold it against its bound; a ValueError names the claim, or all missing files."""
    _check_files(claims, files)
    judged = []
    for name, claim in claims.items():
        try:
            scores = _scores(claim, files)
            effect = measure(claim["kind"], scores)
            printed = printed_means(claim, published) if "tables" in claim.get("published", {}) else None
        except ValueError as error:
            raise ValueError(f"claim {name!r}: {error}") from error
        images = {test: scores[role].shape[1] for role, test in tests_of_roles(claim).items()}
        judged.append(Judged(name, claim, effect, judge(effect, claim), tuple(images.values()), printed))
    return judged


def to_table(judged: Sequence[Judged]) -> pd.DataFrame:
    """Everything about every claim, a row each.

    ``effect`` has the ends ``low`` and ``high`` of its 95 % interval, empty where it does not exist; ``fault`` says why.
    ``published`` is the effect of the published means, which stand in ``published_tables``.
    """
    keys = ("text", "kind", "metric", "test", "other_test", "recipe", "at_least", "at_most", "margin")
    rows = []
    for item in judged:
        estimate = item.effect.estimate
        row = {"claim": item.name, **{key: item.claim.get(key) for key in keys}}
        row |= {"chains": " ".join(f"{role}={chain}" for role, chain in item.claim["chains"].items())}
        row |= {"seeds": len(item.claim["seeds"]), "images": " ".join(map(str, item.images))}
        row |= {"effect": estimate.value, "low": estimate.low, "high": estimate.high}
        row |= {"verdict": item.verdict, "fault": item.effect.fault, "published": item.published}
        row["published_tables"] = " ".join(item.printed.tables) if item.printed else None
        rows.append(row | {"published_words": item.says})
    return pd.DataFrame(rows)


def sentences(judged: Sequence[Judged]) -> list[str]:
    """How many claims are supported, refuted and undecided, then one paragraph on each."""
    return prose.sentences("claim", **_values(judged))


def to_markdown(judged: Sequence[Judged]) -> str:
    """The page of verdicts: the answer, then what it rests on."""
    return prose.page("claim", question=QUESTION, caption="", said=sentences(judged), **_values(judged))


def _values(judged: Sequence[Judged]) -> dict[str, Any]:
    """What the template is filled with."""
    words = ("supported", "refuted", "undecided")
    return {
        "judged": judged,
        "counts": {word: sum(item.verdict == word for item in judged) for word in words},
        "alone": sum(item.alone for item in judged),
        "one_seed": any(item.one_seed for item in judged),
        "as_published": [item for item in judged if item.says or item.printed],
        "names": {key: metric.name for key, metric in METRICS.items()},
    }


def _check_files(claims: Mapping[str, Mapping[str, Any]], files: Mapping[Measured, str | Path]) -> None:
    missing: dict[tuple[str, str, str], list[str]] = {}
    for measured in claim_requests(claims):
        if measured not in files or not Path(files[measured]).exists():
            recipe, chain, seed, test = measured
            missing.setdefault((recipe, chain, test), []).append(str(seed))
    if missing:
        lines = [
            f"{chain} (recipe {recipe}) on {test}: seed {', '.join(seeds)}"
            for (recipe, chain, test), seeds in missing.items()
        ]
        raise ValueError("claims cannot be judged without these metrics; evaluate them first: " + "; ".join(lines))


def _scores(claim: Mapping[str, Any], files: Mapping[Measured, str | Path]) -> dict[str, NDArray[np.float64]]:
    """Part -> (seeds, images), the images of a test set in one order."""
    by_test: dict[str, list[tuple[str, str | Path]]] = {}
    for role, measured in measured_by_role(claim):
        by_test.setdefault(measured[3], []).append((role, files[measured]))
    scores: dict[str, list[NDArray]] = {}
    for runs in by_test.values():
        for (role, _), values in zip(runs, read_scores([path for _, path in runs], claim["metric"]), strict=True):
            scores.setdefault(role, []).append(values)
    return {role: np.stack(values) for role, values in scores.items()}
