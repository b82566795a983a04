"""Verdicts on a study's claims: what is measured for each, which side of its bound that lies on, and what was published."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.answers.answer import Answer, Asked, Score
from frugalseg.answers.claim_figure import LOOKS, draw_verdicts
from frugalseg.answers.scores import read_scores
from frugalseg.answers.seeds import Seeds
from frugalseg.reporting import prose
from frugalseg.reporting.formats import MISSING, score
from frugalseg.statistics.effects import Effect, Verdict, effect_of_means, judge, measure, more_runs
from frugalseg.statistics.false_discovery import false_discovery, p_of_verdict
from frugalseg.statistics.more_runs import Needed
from frugalseg.study.kinds.claim import Printed, printed_means, scores_by_role, tests_of_roles
from frugalseg.study.metrics import METRICS

QUESTION = "Do the study's claims hold on these data?"
# Share of false verdicts among those that stand together.
_FALSE = 0.05


@dataclass(frozen=True)
class Judged:
    """A claim with its effect as measured, its verdict, its numbers of test images and the published means, if any.

    `replicated` models of the study say how much seeds vary, 0 where too few do; `needed` would decide what is undecided. `p` is
    that of the test behind the interval, `q` the share of false verdicts among all of the study that are reached as surely.
    """

    name: str
    claim: Mapping[str, Any]
    effect: Effect
    verdict: Verdict
    images: tuple[int, ...]
    printed: Printed | None = None
    replicated: int = 0
    needed: Needed = field(default_factory=Needed)
    p: float = 1.0
    q: float = 1.0

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def published(self) -> float:
        """The effect of the published means; NaN where there are none."""
        return effect_of_means(self.claim["effect"], self.printed.means) if self.printed else math.nan

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
        return len(self.claim["seeds"]) == 1 and not self.replicated

    @property
    def alone(self) -> bool:
        """Whether it was decided by one seed alone."""
        return self.one_seed and self.verdict != "undecided"

    @property
    def stands(self) -> bool:
        """Whether it is decided among all claims of the study together, at most 5 % of them falsely."""
        return self.verdict != "undecided" and self.q <= _FALSE

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
        return self._digits(value) + LOOKS[self.claim["effect"]].unit

    def _digits(self, value: float) -> str:
        look = LOOKS[self.claim["effect"]]
        return score(look.scale * value, look.digits, sign=look.signed)


def answer(asked: Asked) -> Answer:
    """Which of a study's claims hold; the block of `asked` is every claim by name."""
    published = next(iter(asked.files.get("published", ())), None)
    judged = judge_claims(asked.block, asked.metrics, published, asked.seeds_on)
    return Answer(
        table=to_table(judged),
        text=to_markdown(judged),
        question=QUESTION,
        sentences=sentences(judged),
        figure=draw_verdicts(judged),
    )


def judge_claims(
    claims: Mapping[str, Mapping[str, Any]],
    files: Mapping[Score, str | Path],
    published: str | Path | None = None,
    seeds_on: Callable[[str, str], Seeds] = lambda test, metric: Seeds(),
) -> list[Judged]:
    """Measure the effect of every claim and hold it against its bound; a ValueError names the claim, or all missing files.

    `seeds_on` (test set, metric) says what the study knows of seeds.
    """
    _check_files(claims, files)
    judged = []
    for name, claim in claims.items():
        try:
            judged.append(_judge(name, claim, files, published, seeds_on))
        except ValueError as error:
            raise ValueError(f"claim {name!r}: {error}") from error
    return [replace(item, q=q) for item, q in zip(judged, false_discovery([item.p for item in judged]), strict=True)]


def _judge(
    name: str,
    claim: Mapping[str, Any],
    files: Mapping[Score, str | Path],
    published: str | Path | None,
    seeds_on: Callable[[str, str], Seeds],
) -> Judged:
    scores, kind = _scores(claim, files), claim["effect"]
    tests = tests_of_roles(claim)
    known = {test: seeds_on(test, claim["metric"]) for test in dict.fromkeys(tests.values())}
    # All test sets have a prior, or none is used.
    priors = [seeds.prior for seeds in known.values()] if all(seeds.prior for seeds in known.values()) else []
    effect = measure(kind, scores, *priors)
    if len(claim["seeds"]) == 1 and not priors and any(seeds.models for seeds in known.values()):
        # Other models have shown that seeds differ: images alone decide nothing.
        effect = replace(effect, fault=effect.fault or "one seed")
    verdict = judge(effect, claim)

    def decided(level: float) -> bool:
        return (
            judge(replace(effect, estimate=measure(kind, scores, *priors, level=level).estimate), claim) != "undecided"
        )

    images = {test: scores[role].shape[1] for role, test in tests.items()}
    return Judged(
        name,
        claim,
        effect,
        verdict,
        tuple(images.values()),
        printed=printed_means(claim, published) if "tables" in claim.get("published", {}) else None,
        replicated=min(prior.models for prior in priors) if priors else 0,
        needed=more_runs(kind, scores, claim, *priors[:1]) if verdict == "undecided" and not effect.fault else Needed(),
        p=p_of_verdict(decided),
    )


def to_table(judged: Sequence[Judged]) -> pd.DataFrame:
    """Everything about every claim, a row each.

    ``effect`` has the ends ``low`` and ``high`` of its 95 % interval, empty where it does not exist; ``fault`` says why. ``p``
    is at most 0.05 where it decides; ``q`` is p among all claims (Benjamini & Hochberg 1995).
    ``replicated`` models of the study say how much seeds vary, 0 where too few do; ``more_seeds`` of its models, or so many
    ``images_needed``, would decide a claim. ``published`` is the effect of the published means, from ``published_tables``.
    """
    keys = ("metric", "test", "other_test", "recipe", "at_least", "at_most", "margin")
    rows = []
    for item in judged:
        estimate = item.effect.estimate
        row = {
            "claim": item.name,
            "text": item.claim["text"],
            "kind": item.claim["effect"],
            **{key: item.claim.get(key) for key in keys},
        }
        row |= {"chains": " ".join(f"{role}={chain}" for role, chain in item.claim["chains"].items())}
        row |= {"seeds": len(item.claim["seeds"]), "images": " ".join(map(str, item.images))}
        row |= {"effect": estimate.value, "low": estimate.low, "high": estimate.high}
        row |= {
            "verdict": item.verdict,
            "p": item.p,
            "q": item.q,
            "fault": item.effect.fault,
            "replicated": item.replicated,
        }
        row |= {"more_seeds": item.needed.seeds, "images_needed": item.needed.images, "published": item.published}
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
        "falling": [item.title for item in judged if item.verdict != "undecided" and not item.stands],
        "one_seed": any(item.one_seed for item in judged),
        "replicated": sorted({item.replicated for item in judged} - {0}),
        "as_published": [item for item in judged if item.says or item.printed],
        "names": {key: metric.name for key, metric in METRICS.items()},
    }


def _check_files(claims: Mapping[str, Mapping[str, Any]], files: Mapping[Score, str | Path]) -> None:
    missing: dict[tuple[str, str, str], list[str]] = {}
    for wanted in dict.fromkeys(asked for claim in claims.values() for _, asked in scores_by_role(claim)):
        if wanted not in files or not Path(files[wanted]).exists():
            (recipe, chain, seed), test = wanted
            missing.setdefault((recipe, chain, test), []).append(str(seed))
    if missing:
        lines = [
            f"{chain} (recipe {recipe}) on {test}: seed {', '.join(seeds)}"
            for (recipe, chain, test), seeds in missing.items()
        ]
        raise ValueError("claims cannot be judged without these metrics; evaluate them first: " + "; ".join(lines))


def _scores(claim: Mapping[str, Any], files: Mapping[Score, str | Path]) -> dict[str, NDArray[np.float64]]:
    """Part -> (seeds, images), the images of a test set in one order."""
    by_test: dict[str, list[tuple[str, str | Path]]] = {}
    for role, wanted in scores_by_role(claim):
        by_test.setdefault(wanted[1], []).append((role, files[wanted]))
    scores: dict[str, list[NDArray]] = {}
    for runs in by_test.values():
        for (role, _), values in zip(runs, read_scores([path for _, path in runs], claim["metric"]), strict=True):
            scores.setdefault(role, []).append(values)
    return {role: np.stack(values) for role, values in scores.items()}
