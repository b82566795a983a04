"""One long table per experiment: a row for every run, test set and metric, and a row over the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from frugalseg.answers.scores import read_metrics
from frugalseg.study.experiments import Entry

COLUMNS = [
    *("experiment", "recipe", "chain", "seed", "test", "metric"),
    *("mean", "std", "n", "published_mean", "published_std", "published_std_over"),
]
PUBLISHED_COLUMNS = ["table", "chain", "test", "metric", "mean", "std", "std_over"]
#: What the column ``seed`` holds in the rows over all runs.
ALL_SEEDS = "all"


def tabulate(
    experiment: str,
    files: Mapping[tuple[Entry, int, str], str | Path],
    metrics: Sequence[str],
    published: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Make an experiment's table from the metrics of every test image.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    files : mapping of (Entry, seed, test) to path
        The CSV of one model on one test set: a row per test image, a column per metric. Rows of the table follow the
        order of this mapping.
    metrics : sequence of str
        Keys of the metrics to take.
    published : pd.DataFrame, optional
        Published values to stand beside ours, from :func:`read_published`; joined on chain, test and metric.

    Returns
    -------
    pd.DataFrame
        :data:`COLUMNS`, then the fields of the entries. A row of one run has the mean over test images, their sample
        standard deviation, and as ``n`` the number of images for which the metric is defined (not NaN). A row with
        the seed :data:`ALL_SEEDS` has the mean of the runs' means, their sample standard deviation over runs (NaN for
        a single run), and as ``n`` the number of runs. Published values stand in these rows alone, since they are one
        value a model and not one a run.

    Raises
    ------
    ValueError
        When a file is missing, empty or lacks a metric, or a field of an entry has the name of a column.
    """
    rows = []
    for (entry, test), runs in _by_entry_and_test(files).items():
        _check_fields(entry)
        scores = {seed: read_metrics(path, metrics) for seed, path in runs.items()}
        for metric in metrics:
            identity = {"experiment": experiment, "recipe": entry.recipe, "chain": entry.chain, **entry.fields}
            identity |= {"test": test, "metric": metric}
            rows += [identity | row for row in _summaries({seed: score[metric] for seed, score in scores.items()})]
    table = _join_published(pd.DataFrame(rows), published)
    return table[COLUMNS + [column for column in table.columns if column not in COLUMNS]]


def of_models(table: pd.DataFrame) -> list[str]:
    """Columns of a table that single out a model on a test set and metric: all but the seed and the values."""
    values = {"seed", "mean", "std", "n", "published_mean", "published_std", "published_std_over"}
    return [column for column in table.columns if column not in values]


def combinations(table: pd.DataFrame, fields: Sequence[str]) -> list[tuple]:
    """Combinations of the fields' values that occur, each field in order of first appearance, the last fastest.

    Of no fields there is one combination, the empty one.
    """
    if not fields:
        return [()]
    present = set(table[list(fields)].itertuples(index=False, name=None))
    return [key for key in product(*(table[field].unique().tolist() for field in fields)) if key in present]


def read(path: str | Path) -> pd.DataFrame:
    """Read a table that :func:`tabulate` made, from its CSV."""
    return pd.read_csv(path, dtype={"seed": str}, keep_default_na=False, na_values=[""])


def summary(values: Iterable[float]) -> dict[str, float | int]:
    """``mean``, sample standard deviation ``std`` and number ``n`` of the values that are not NaN."""
    defined = pd.Series(list(values), dtype=np.float64).dropna()
    return {"mean": defined.mean(), "std": defined.std(ddof=1), "n": len(defined)}


def read_published(path: str | Path, table: str) -> pd.DataFrame:
    """Read one table of published values.

    Parameters
    ----------
    path : str or Path
        CSV with the columns :data:`PUBLISHED_COLUMNS`.
    table : str
        Number of the table in the publication, e.g. ``"IV"``.

    Returns
    -------
    pd.DataFrame
        chain, test, metric, published_mean, published_std, published_std_over (``images``, ``runs`` or NaN).

    Raises
    ------
    ValueError
        When columns are missing, the table is not in the file, or a value is there twice.
    """
    values = pd.read_csv(path)
    missing = [column for column in PUBLISHED_COLUMNS if column not in values.columns]
    if missing:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)}")
    values = values[values["table"] == table]
    if values.empty:
        known = ", ".join(pd.read_csv(path)["table"].unique())
        raise ValueError(f"{path}: has no table {table!r}; its tables are {known}")
    twice = values[values.duplicated(["chain", "test", "metric"])]
    if not twice.empty:
        raise ValueError(f"{path}: table {table} has {tuple(twice.iloc[0][['chain', 'test', 'metric']])} twice")
    names = {column: f"published_{column}" for column in ("mean", "std", "std_over")}
    return values.drop(columns="table").rename(columns=names).reset_index(drop=True)


def _by_entry_and_test(
    files: Mapping[tuple[Entry, int, str], str | Path],
) -> dict[tuple[Entry, str], dict[int, str | Path]]:
    runs: dict[tuple[Entry, str], dict[int, str | Path]] = {}
    for (entry, seed, test), path in files.items():
        runs.setdefault((entry, test), {})[seed] = path
    return runs


def _check_fields(entry: Entry) -> None:
    taken = sorted(set(entry.fields) & set(COLUMNS))
    if taken:
        raise ValueError(
            f"chain {entry.chain!r}: a field cannot be called {taken[0]!r}, which is a column of the table; rename it"
        )


def _summaries(scores: Mapping[int, pd.Series]) -> list[dict[str, Any]]:
    """Rows of one model and metric: one a seed over images, then one over seeds."""
    runs = [{"seed": str(seed), **summary(values)} for seed, values in scores.items()]
    return [*runs, {"seed": ALL_SEEDS, **summary(row["mean"] for row in runs)}]


def _join_published(table: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    if published is None:
        return table.assign(published_mean=np.nan, published_std=np.nan, published_std_over=np.nan)
    # A left join keeps the order of the table.
    joined = table.merge(published, how="left", on=["chain", "test", "metric"], validate="many_to_one")
    joined.loc[joined["seed"] != ALL_SEEDS, ["published_mean", "published_std", "published_std_over"]] = np.nan
    return joined
