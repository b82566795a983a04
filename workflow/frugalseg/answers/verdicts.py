"""Verdicts on a study's claims: what is measured for each, from the metrics of its models, and what was published."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.answers.scores import read_scores
from frugalseg.statistics.effects import Effect, Verdict, effect_of_means, judge, measure
from frugalseg.study.claims import (
    Measured,
    Printed,
    claim_requests,
    measured_by_role,
    printed_means,
    tests_of_roles,
)


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict.

    Attributes
    ----------
    name : str
    claim : mapping
        Its block of ``claims`` in the config.
    effect : Effect
        As measured.
    verdict : str
        "supported", "refuted" or "undecided".
    images : tuple of int
        Test images of ``test`` and, of an asymmetry, of ``other_test``.
    printed : Printed or None
        Published means, where the claim names tables with them.
    """

    name: str
    claim: Mapping[str, Any]
    effect: Effect
    verdict: Verdict
    images: tuple[int, ...]
    printed: Printed | None = None

    @property
    def published(self) -> float:
        """The effect of the published means; NaN where there are none."""
        return effect_of_means(self.claim["kind"], self.printed.means) if self.printed else math.nan

    @property
    def one_seed(self) -> bool:
        """Whether the interval knows nothing of how much a training varies by chance."""
        return len(self.claim["seeds"]) == 1


def judge_claims(
    claims: Mapping[str, Mapping[str, Any]], files: Mapping[Measured, str | Path], published: str | Path | None = None
) -> list[Judged]:
    """Measure the effect of every claim and hold it against its bound.

    Parameters
    ----------
    claims : mapping
        The block ``claims`` of the completed config.
    files : mapping of (recipe, chain, seed, test) to path
        The CSV of one model on one test set: a row per test image, a column per metric.
    published : str or Path, optional
        CSV of published values, for claims that name tables of it.

    Returns
    -------
    list of Judged
        In the order of the config.

    Raises
    ------
    ValueError
        When metrics are missing (all that are, are named), models of a claim were scored on different images, or a claim
        cannot be measured; the message names it.
    """
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


def to_table(judged: list[Judged]) -> pd.DataFrame:
    """Everything about every claim as one table.

    Returns
    -------
    pd.DataFrame
        A row a claim. ``effect`` with the ends ``low`` and ``high`` of its 95 % interval, empty where it does not exist;
        ``fault`` says why. ``published`` is the effect of the published means, which stand in ``published_tables``.
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
        rows.append(row | {"published_words": item.claim.get("published", {}).get("says")})
    return pd.DataFrame(rows)


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
