"""How much seeds vary on a test set: what the replicated models of the study say, kept in a table, and the prior of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from frugalseg.answers.scores import read_scores
from frugalseg.statistics.seed_variance import Prior, prior_of, summarise
from frugalseg.study.metrics import METRICS


@dataclass(frozen=True)
class Seeds:
    """How many models of the study have several seeds on a test set, and the prior of them; None of too few."""

    models: int = 0
    prior: Prior | None = None


COLUMNS = ("metric", "recipe", "chain", "seeds", "images", "mean", "variance", "residual")


def summarise_seeds(files: Mapping[tuple[str, str], Sequence[str | Path]]) -> pd.DataFrame:
    """What seeds do to every metric of the models of one test set, (recipe, chain) -> the CSV of each seed.

    ``variance`` is that of the seeds' means, ``residual`` what the chance of single images gives to it.
    """
    rows = []
    for (recipe, chain), paths in files.items():
        for metric in (metric for metric in METRICS if metric in pd.read_csv(paths[0], nrows=0).columns):
            scores = read_scores(paths, metric)
            mean, variance, residual, seeds = summarise(scores)
            rows.append((metric, recipe, chain, seeds, scores.shape[1], mean, variance, residual))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read_seeds(path: str | Path, metric: str) -> Seeds:
    """What such a table says of a metric."""
    table = pd.read_csv(path)
    rows = table[table["metric"] == metric]
    known = (rows[column].to_numpy() for column in ("mean", "variance", "residual", "seeds"))
    return Seeds(len(rows), prior_of(*known) if len(rows) else None)
