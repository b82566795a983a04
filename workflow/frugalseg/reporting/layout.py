"""The readable table of an experiment: its long table turned to rows and columns, with what selection cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from frugalseg.reporting.formats import MISSING, field_name, value_text
from frugalseg.runtime.benchmarks import read_benchmark
from frugalseg.study.metrics import metric_of
from frugalseg.study.selection_jobs import SELECTOR, SelectionJobs

ALL_SEEDS = "all"
"""What the column ``seed`` holds in the rows over all runs."""
COSTS = {
    "selection_seconds": ("Selection (s)", 1),
    "selection_mebibytes": ("Selection, memory (MiB)", 0),
    "basis_seconds": ("Features or model asked (s)", 1),
    "basis_mebibytes": ("Features or model asked, memory (MiB)", 0),
}
"""Column -> how readable tables call it, and digits after the point."""
_COSTS_NOTE = (
    "Selection: wall time and largest memory of the job that puts the patches in order, once for all rates, with the start of "
    "Python; the mean where each seed has an order of its own. Features or model asked: the jobs that the order needs first. They "
    "find the features of the patches and train the autoencoder behind them, or train the model that is asked; 0 where it needs "
    "none. A dash: all patches are taken, or a job left no record."
)
_VALUES = {"seed", "mean", "std", "n", "published_mean", "published_std", "published_std_over", *COSTS}


@dataclass(frozen=True)
class Layout:
    """A readable table: text whose first `names` columns name the rows, and sentences to print below."""

    frame: pd.DataFrame
    names: int
    notes: tuple[str, ...]


def lay_out(
    table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], metrics: Sequence[str], notes: Sequence[str] = ()
) -> Layout:
    """Turn an experiment's long table into rows and columns, which are fields in the order of the table.

    A cell reads "mean ± standard deviation over test images"; for several runs both are averaged over the runs and the
    standard deviation of the means over runs follows in brackets. Where there are published values, each row is
    followed by one that holds them, in the same notation.

    A ValueError says which entry lacks one of the fields, or which two fall on the same cell.
    """
    shown = _overall(table, rows, columns, metrics)
    column_keys = combinations(shown, columns)
    cells = {(row.row_key, row.column_key): row for row in shown.itertuples()}
    with_published = shown["published_mean"].notna().any()
    headings = [*map(field_name, rows), *(["Values"] if with_published else [])]
    lines = []
    for key in combinations(shown, rows):
        name, found = _texts(rows, key), [cells.get((key, column)) for column in column_keys]
        lines.append([*name, *(["ours"] if with_published else []), *map(_ours, found)])
        if with_published and any(cell is not None and pd.notna(cell.published_mean) for cell in found):
            lines.append([*name, "published", *map(_published, found)])
    above = ("",) * (len(columns) - 1)
    index = pd.MultiIndex.from_tuples(
        [*((*above, heading) for heading in headings), *(_texts(columns, key) for key in column_keys)]
    )
    below = (*_notes(shown, {*rows, *columns}, with_published), *notes)
    return Layout(pd.DataFrame(lines, columns=index), len(headings), below)


def combinations(table: pd.DataFrame, fields: Sequence[str]) -> list[tuple]:
    """Combinations of the fields' values that occur, each field in order of first appearance, the last fastest.

    Of no fields there is one combination, the empty one.
    """
    if not fields:
        return [()]
    present = set(table[list(fields)].itertuples(index=False, name=None))
    return [key for key in product(*(table[field].unique().tolist() for field in fields)) if key in present]


def of_models(table: pd.DataFrame) -> list[str]:
    """Columns of a table that single out a model on a test set and metric: all but the seed and the values."""
    return [column for column in table.columns if column not in _VALUES]


def check_fields(table: pd.DataFrame, fields: Iterable[str], use: str) -> None:
    """Refuse a table with an entry that lacks one of the fields; `use` says what they are for and what to do."""
    for field in fields:
        lacking = table["chain"] if field not in table.columns else table.loc[table[field].isna(), "chain"]
        if len(lacking):
            raise ValueError(
                f"experiment {table['experiment'].iloc[0]!r}: the chain {lacking.iloc[0]!r} has no field {field!r}, which its {use}"
            )


def of_metrics(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Rows of some metrics, in the order of these."""
    shown = table[table["metric"].isin(metrics)]
    return shown.sort_values("metric", key=lambda keys: keys.map(list(metrics).index), kind="stable")


def add_selection_costs(
    table: pd.DataFrame, jobs: Mapping[str, Mapping[int, SelectionJobs]], folder: Path
) -> pd.DataFrame:
    """Add the columns of `COSTS` to an experiment's table, from its jobs by chain and seed and the study's benchmarks.

    In every row of a model they hold the sum of the seconds and the largest of the memories of its jobs, averaged over its
    seeds; NaN where a job left no record, and of chains that take all patches.
    """
    costs = pd.DataFrame(math.nan, index=table.index, columns=list(COSTS))
    for _, rows in table.groupby(of_models(table), dropna=False, sort=False):
        of_seeds = jobs[rows["chain"].iloc[0]]
        made = [of_seeds[int(seed)] for seed in rows["seed"] if seed != ALL_SEEDS]
        if all(each.orders for each in made):
            each_seed = [(*_taken(each.orders, folder), *_taken(each.bases, folder)) for each in made]
            costs.loc[rows.index] = pd.DataFrame(each_seed).mean(skipna=False).to_numpy()
    return pd.concat([table, costs], axis=1)


def with_selection_costs(
    layout: Layout, table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], metrics: Sequence[str]
) -> Layout:
    """The layout of a table with the costs of selection: as rows below, or as columns at the right where selectors make
    rows."""
    shown = table[(table["seed"] == ALL_SEEDS) & table["metric"].isin(metrics)]
    frame = _below(layout, shown, columns) if SELECTOR in columns else _beside(layout, shown, rows)
    return replace(layout, frame=frame, notes=(*layout.notes, _COSTS_NOTE))


def _below(layout: Layout, shown: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The costs as rows. A selection costs the same for all metrics: it stands below the first."""
    first: dict[tuple[str, ...], tuple[str, ...]] = {}
    for names in layout.frame.columns[layout.names :]:
        first.setdefault(tuple(name for name, field in zip(names, columns, strict=True) if field != "metric"), names)
    frame = layout.frame.copy()
    for cost, (heading, _) in COSTS.items():
        texts = [
            _cost_text(shown, columns, names, cost) if names in first.values() else ""
            for names in frame.columns[layout.names :]
        ]
        frame.loc[len(frame)] = [heading, *[""] * (layout.names - 1), *texts]
    return frame


def _beside(layout: Layout, shown: pd.DataFrame, rows: Sequence[str]) -> pd.DataFrame:
    """The costs as columns."""
    frame = layout.frame.copy()
    names = frame.iloc[:, : layout.names].to_numpy().tolist()
    for cost, (heading, _) in COSTS.items():
        # Where there are published values, the last name of a row says whose its values are.
        texts = [
            "" if name[len(rows) :] == ["published"] else _cost_text(shown, rows, tuple(name[: len(rows)]), cost)
            for name in names
        ]
        frame[(*("Costs",) * (frame.columns.nlevels - 1), heading)] = texts
    return frame


def _taken(names: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds of all jobs and the largest of their memories, NaN where one is not known; 0 of no job."""
    taken = [read_benchmark(folder / f"{name}.jsonl") for name in names]
    if any(each is None for each in taken):
        return math.nan, math.nan
    memories = [each.mebibytes for each in taken]
    memory = math.nan if any(map(math.isnan, memories)) else max(memories, default=0.0)
    return sum(each.seconds for each in taken), memory


def _cost_text(shown: pd.DataFrame, fields: Sequence[str], names: tuple[str, ...], cost: str) -> str:
    """A cost of the entries of a row or column; its range where they differ."""
    keys = shown[list(fields)].itertuples(index=False, name=None)
    values = shown.loc[[_texts(fields, key) == names for key in keys], cost].dropna()
    if values.empty:
        return MISSING
    low, high = (f"{value:,.{COSTS[cost][1]}f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _overall(table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """The rows over all runs of the metrics shown, with their spread over images and the keys of their cells."""
    table = of_metrics(table, metrics)
    check_fields(
        table, [*rows, *columns], "table is laid out by; give it one under 'fields', or lay the table out by another"
    )
    model = of_models(table)
    runs = table[table["seed"] != ALL_SEEDS]
    over_images = runs.groupby(model, dropna=False)["std"].mean().rename("std_over_images").reset_index()
    shown = table[table["seed"] == ALL_SEEDS].merge(over_images, on=model)
    shown = shown.assign(
        row_key=list(shown[list(rows)].itertuples(index=False, name=None)),
        column_key=list(shown[list(columns)].itertuples(index=False, name=None)),
    )
    clash = shown[shown.duplicated(["row_key", "column_key"], keep=False)]
    if not clash.empty:
        culprits = clash[["chain", "recipe", "test", "metric"]].head(2).apply(lambda row: " ".join(row), axis=1)
        raise ValueError(
            f"experiment {shown['experiment'].iloc[0]!r}: {' and '.join(map(repr, culprits))} fall on one cell of a table "
            f"with the rows {', '.join(rows)} and the columns {', '.join(columns)}; add a field that tells them apart"
        )
    return shown


def _texts(fields: Sequence[str], key: tuple) -> tuple[str, ...]:
    return tuple(value_text(field, value) for field, value in zip(fields, key, strict=True))


def _ours(cell: Any) -> str:
    return _text(cell, "mean", cell.std_over_images, cell.std if cell.n > 1 else None) if cell else MISSING


def _published(cell: Any) -> str:
    if not cell:
        return MISSING
    over_runs = cell.published_std_over == "runs"
    return _text(cell, "published_mean", *((math.nan, cell.published_std) if over_runs else (cell.published_std, None)))


def _text(cell: Any, key: str, over_images: float, over_runs: float | None) -> str:
    """A mean with its spread over test images where there is one, and over runs in brackets where there are several."""
    mean, digits = getattr(cell, key), metric_of(cell.metric).digits
    if pd.isna(mean):
        return MISSING
    text = f"{mean:.{digits}f}" if pd.isna(over_images) else f"{mean:.{digits}f} ± {over_images:.{digits}f}"
    return text if over_runs is None else f"{text} (± {over_runs:.{digits}f})"


def _notes(shown: pd.DataFrame, fields: set[str], with_published: bool) -> Iterator[str]:
    if "test" not in fields:
        yield f"Test images: {shown['test'].iloc[0]}."
    if "metric" not in fields:
        yield f"Metric: {value_text('metric', shown['metric'].iloc[0])}."
    yield "Mean ± standard deviation over test images."
    runs = shown.loc[shown["n"] > 1, "n"]
    if not runs.empty:
        number = f"{runs.min()}" if runs.min() == runs.max() else f"{runs.min()} to {runs.max()}"
        yield f"In brackets: standard deviation of the mean over {number} runs; the other two are averages over the runs."
    if with_published:
        yield "Published: as printed; ± over test images, (±) over runs."
