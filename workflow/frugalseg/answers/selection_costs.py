"""Time and memory of selection, beside what it gains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from frugalseg.answers.pivots import Pivot
from frugalseg.answers.tables import ALL_SEEDS, of_models
from frugalseg.reporting.benchmarks import read_benchmark
from frugalseg.reporting.formats import value_text
from frugalseg.study.selection_jobs import SELECTOR, SelectionJobs

#: Column -> how readable tables call it, and digits after the point.
COSTS = {
    "selection_seconds": ("Selection (s)", 1),
    "selection_mebibytes": ("Selection, memory (MiB)", 0),
    "basis_seconds": ("Features or model asked (s)", 1),
    "basis_mebibytes": ("Features or model asked, memory (MiB)", 0),
}
_NOTE = (
    "Selection: wall time and largest memory of the job that puts the patches in order, once for all rates, with the start of "
    "Python in it; where each seed has its own, their mean. Features or model asked: what it rests on, which is the features "
    "of the patches and the autoencoder that finds them, trained once for all datasets, or the training of the model that is "
    "asked; 0 where it rests on nothing. A dash: all patches are taken, or a job left no record."
)
_MISSING = "–"


def add_selection_costs(
    table: pd.DataFrame, jobs: Mapping[str, Mapping[int, SelectionJobs]], folder: Path
) -> pd.DataFrame:
    """Add the columns of `COSTS` to an experiment's table.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    jobs : mapping
        Chain -> seed -> jobs, see `frugalseg.study.selection_jobs.selection_jobs`.
    folder : Path
        Of the study's benchmarks. Those of an earlier run count: what was made then is not made again.

    Returns
    -------
    pd.DataFrame
        In every row of a model the sum of the seconds and the largest of the memories of its jobs, averaged over its seeds.
        NaN where a job left no record, and of chains that take all patches.
    """
    costs = pd.DataFrame(math.nan, index=table.index, columns=list(COSTS))
    for _, rows in table.groupby(of_models(table), dropna=False, sort=False):
        of_seeds = jobs[rows["chain"].iloc[0]]
        made = [of_seeds[int(seed)] for seed in rows["seed"] if seed != ALL_SEEDS]
        if all(each.orders for each in made):
            each_seed = pd.DataFrame([_cost(each, folder) for each in made], columns=list(COSTS))
            costs.loc[rows.index] = each_seed.mean(skipna=False).to_numpy()
    return pd.concat([table, costs], axis=1)


def with_selection_costs(
    pivot: Pivot, table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], metrics: Sequence[str]
) -> Pivot:
    """A readable table with the costs of selection: as rows below, or as columns at the right, where selectors make rows.

    Parameters
    ----------
    pivot : Pivot
        Of the table, from :func:`frugalseg.answers.pivots.pivot` with the same rows, columns and metrics.
    table : pd.DataFrame
        From :func:`add_selection_costs`.
    rows, columns, metrics : sequence of str
        What the pivot is laid out by; one of the fields is ``selector``.
    """
    shown = table[(table["seed"] == ALL_SEEDS) & table["metric"].isin(metrics)]
    whole = _below(pivot, shown, columns) if SELECTOR in columns else _beside(pivot, shown, rows)
    return replace(whole, notes=(*pivot.notes, _NOTE))


def _below(pivot: Pivot, shown: pd.DataFrame, columns: Sequence[str]) -> Pivot:
    """The costs as rows. A selection costs the same for all metrics: it stands below the first."""
    texts = _texts(shown, columns)
    first: dict[tuple[str, ...], int] = {}
    for number, names in enumerate(pivot.columns):
        first.setdefault(tuple(name for name, field in zip(names, columns, strict=True) if field != "metric"), number)
    once = set(first.values())
    lines = [
        tuple(_text(shown, texts, names, cost) if number in once else "" for number, names in enumerate(pivot.columns))
        for cost in COSTS
    ]
    padding = ("",) * (len(pivot.headings) - 1)
    names = [(heading, *padding) for heading, _ in COSTS.values()]
    return replace(pivot, rows=(*pivot.rows, *names), cells=(*pivot.cells, *lines))


def _beside(pivot: Pivot, shown: pd.DataFrame, rows: Sequence[str]) -> Pivot:
    """The costs as columns."""
    texts, levels = _texts(shown, rows), len(pivot.columns[0])
    more = tuple((*("Costs",) * (levels - 1), heading) for heading, _ in COSTS.values())
    # Where there are published values, the last name of a row says whose its values are.
    keys = [names[: len(rows)] for names in pivot.rows]
    lines = [
        (*cells, *(_text(shown, texts, key, cost) if names[len(rows) :] != ("published",) else "" for cost in COSTS))
        for names, key, cells in zip(pivot.rows, keys, pivot.cells, strict=True)
    ]
    return replace(pivot, columns=(*pivot.columns, *more), cells=tuple(lines))


def _cost(jobs: SelectionJobs, folder: Path) -> tuple[float, float, float, float]:
    return (*_taken(jobs.orders, folder), *_taken(jobs.bases, folder))


def _taken(names: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds of all jobs and the largest of their memories, NaN where one is not known; 0 of no job."""
    taken = [read_benchmark(folder / f"{name}.jsonl") for name in names]
    if any(each is None for each in taken):
        return math.nan, math.nan
    memories = [each.mebibytes for each in taken]
    memory = math.nan if any(map(math.isnan, memories)) else max(memories, default=0.0)
    return sum(each.seconds for each in taken), memory


def _texts(shown: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """What names the cells of every row, as the pivot has it."""
    keys = shown[list(fields)].itertuples(index=False, name=None)
    names = [tuple(value_text(field, value) for field, value in zip(fields, key, strict=True)) for key in keys]
    return pd.Series(names, index=shown.index, dtype=object)


def _text(shown: pd.DataFrame, texts: pd.Series, names: tuple[str, ...], cost: str) -> str:
    """A cost of the entries of a row or column; its range where they differ."""
    digits = COSTS[cost][1]
    values = shown.loc[texts.map(lambda text: text == names).astype(bool), cost].dropna()
    if values.empty:
        return _MISSING
    low, high = f"{values.min():,.{digits}f}", f"{values.max():,.{digits}f}"
    return low if low == high else f"{low} to {high}"
