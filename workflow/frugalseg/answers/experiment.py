"""Experiments: one long table of runs, test sets and metrics, laid out to be read, and its figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from frugalseg.answers.answer import Answer, Asked
from frugalseg.answers.experiment_figure import draw
from frugalseg.answers.scores import read_metrics
from frugalseg.models.cost import forward_flops, parameters
from frugalseg.reporting.layout import ALL_SEEDS, add_selection_costs, lay_out, with_selection_costs
from frugalseg.reporting.tables import to_latex, to_markdown
from frugalseg.study.kinds.experiment import GAP_CLOSED, Entry, Gap, cost_fields, gaps, requests
from frugalseg.study.metrics import OF_IMAGES, metric_of
from frugalseg.training.stage import build_network

PUBLISHED = ["published_mean", "published_std", "published_std_over"]
COLUMNS = ["experiment", "recipe", "chain", "seed", "test", "metric", "mean", "std", "n", *PUBLISHED]
PUBLISHED_COLUMNS = ["table", "chain", "test", "metric", "mean", "std", "std_over"]
_GIGA, _MEGA = 1e9, 1e6


def answer(asked: Asked) -> Answer:
    """The tables and the figure of an experiment.

    ``asked.files`` may have ``published``; ``asked.settings`` has ``recipes`` by name where networks' costs are asked for, and
    where selectors are compared ``selection``, their jobs by chain and seed, and ``benchmarks``, the folder of these.
    """
    name, block, settings = asked.name, asked.block, asked.settings
    files = {
        (entry, seed, test): asked.metrics[(entry.recipe, entry.chain, seed), test]
        for entry, seed, test in requests(block)
    }
    printed = asked.files.get("published")
    published = read_published(printed[0], block["published"]) if printed and "published" in block else None
    table, notes = tabulate(name, files, OF_IMAGES, published), []
    if "gap" in block:
        groups = gaps(name, block)
        notes = gap_notes(table, groups, block["gap"]) if GAP_CLOSED in block["metrics"] else []
        table = add_gap_closed(table, groups, block["gap"]["metric"])
    if fields := cost_fields(block):
        table = add_costs(table, fields, settings["recipes"])
    fields = {**block["pivot"], "metrics": block["metrics"]}
    layout = lay_out(table, **fields, notes=notes)
    if settings.get("selection"):
        table = add_selection_costs(table, settings["selection"], Path(settings["benchmarks"]))
        layout = with_selection_costs(layout, table, **fields)
    below = " ".join(layout.notes)
    return Answer(
        table=table,
        text=f"# {block['title']}\n\n{block['caption']}\n\n{to_markdown(layout.frame, layout.names)}\n\n{below}\n",
        question=block["title"],
        figure=draw(table, **block["figure"], gap=block.get("gap")) if "figure" in block else None,
        tex=to_latex(layout.frame, f"{block['title']}. {block['caption']}", f"tab:{name}", below, layout.names),
    )


def tabulate(
    experiment: str,
    files: Mapping[tuple[Entry, int, str], str | Path],
    metrics: Sequence[str],
    published: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Long table from the CSV of every (entry, seed, test), in their order: `COLUMNS`, then the fields of the entries.

    A row of one run has the mean over test images, their sample standard deviation, and as ``n`` the number of images for which
    the metric is defined (not NaN). A row with the seed `ALL_SEEDS` has the mean of the runs' means, their sample standard
    deviation over runs (NaN for a single run), and as ``n`` the number of runs. Published values (`read_published`), joined on
    chain, test and metric, stand in these rows alone, since they are one value a model and not one a run.
    """
    by_model: dict[tuple[Entry, str], dict[int, str | Path]] = {}
    for (entry, seed, test), path in files.items():
        by_model.setdefault((entry, test), {})[seed] = path
    rows = []
    for (entry, test), runs in by_model.items():
        if taken := sorted(set(entry.fields) & set(COLUMNS)):
            raise ValueError(
                f"chain {entry.chain!r}: a field cannot be called {taken[0]!r}, which is a column of the table; rename it"
            )
        scores = {seed: read_metrics(path, metrics) for seed, path in runs.items()}
        for metric in metrics:
            identity = {"experiment": experiment, "recipe": entry.recipe, "chain": entry.chain, **entry.fields}
            identity |= {"test": test, "metric": metric}
            of_runs = [{"seed": str(seed), **summary(score[metric])} for seed, score in scores.items()]
            overall = {"seed": ALL_SEEDS, **summary(run["mean"] for run in of_runs)}
            rows += [identity | row for row in (*of_runs, overall)]
    table = _join_published(pd.DataFrame(rows), published)
    return table[COLUMNS + [column for column in table.columns if column not in COLUMNS]]


def summary(values: Iterable[float]) -> dict[str, float | int]:
    """``mean``, sample standard deviation ``std`` and number ``n`` of the values that are not NaN."""
    defined = pd.Series(list(values), dtype=np.float64).dropna()
    return {"mean": defined.mean(), "std": defined.std(ddof=1), "n": len(defined)}


def read_published(path: str | Path, table: str) -> pd.DataFrame:
    """One table of published values, e.g. ``"IV"``: chain, test, metric and the columns `PUBLISHED`.

    ``published_std_over`` is ``images``, ``runs`` or NaN. A ValueError says which columns, table or value is wrong.
    """
    every = pd.read_csv(path)
    missing = [column for column in PUBLISHED_COLUMNS if column not in every.columns]
    if missing:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)}")
    values = every[every["table"] == table]
    if values.empty:
        raise ValueError(f"{path}: has no table {table!r}; its tables are {', '.join(every['table'].unique())}")
    twice = values[values.duplicated(["chain", "test", "metric"])]
    if not twice.empty:
        raise ValueError(f"{path}: table {table} has {tuple(twice.iloc[0][['chain', 'test', 'metric']])} twice")
    names = {column: f"published_{column}" for column in ("mean", "std", "std_over")}
    return values.drop(columns="table").rename(columns=names).reset_index(drop=True)


def _join_published(table: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    if published is None:
        return table.assign(**dict.fromkeys(PUBLISHED, np.nan))
    # A left join keeps the order of the table.
    joined = table.merge(published, how="left", on=["chain", "test", "metric"], validate="many_to_one")
    joined.loc[joined["seed"] != ALL_SEEDS, PUBLISHED] = np.nan
    return joined


class _Ends(NamedTuple):
    """Scores that a gap is counted between on one test set, each the mean over the runs of the entries there."""

    start: float
    end: float

    @property
    def is_open(self) -> bool:
        return self.end > self.start


def add_gap_closed(table: pd.DataFrame, groups: Sequence[Gap], metric: str) -> pd.DataFrame:
    """Add what every run between the ends of its gap closes of it: ``(score - start) / (end - start)``.

    The rows have the metric ``gap_closed`` and are otherwise as the table has them: of one run with its number of images and no
    standard deviation, of all runs with mean and sample standard deviation over runs. NaN where the gap is not positive.
    """
    parts = [table]
    for gap in groups:
        for test, ends in _ends_by_test(table, gap, metric).items():
            parts += [_closed(_rows(table, entry, test, metric), ends) for entry in gap.between]
    return pd.concat(parts, ignore_index=True)


def gap_notes(table: pd.DataFrame, groups: Sequence[Gap], block: Mapping[str, Any]) -> list[str]:
    """Sentences for below a table, from ``gap`` of its experiment: what the gap is, and where there is none to close."""
    metric = metric_of(block["metric"])
    start, end = (f"{block['field']} {block[key]}" for key in ("from", "to"))
    sentences = [
        f"{metric_of(GAP_CLOSED).name}: share of the way from {start} (0) to {end} (1) in {metric.name}, both ends averaged over "
        "their runs."
    ]
    for gap in groups:
        for test, ends in _ends_by_test(table, gap, metric.key).items():
            if not ends.is_open:
                where = " and ".join([f"on {test}", *(f"with {field} {value}" for field, value in gap.fields.items())])
                sentences.append(
                    f"There is no gap to close {where}: {ends.start:.{metric.digits}f} with {start}, "
                    f"{ends.end:.{metric.digits}f} with {end}."
                )
    return sentences


def _ends_by_test(table: pd.DataFrame, gap: Gap, metric: str) -> dict[str, _Ends]:
    return {
        test: _Ends(*(_mean_over_runs(table, entries, test, metric) for entries in (gap.start, gap.end)))
        for test in table["test"].unique()
    }


def _mean_over_runs(table: pd.DataFrame, entries: Iterable[Entry], test: str, metric: str) -> float:
    rows = pd.concat([_rows(table, entry, test, metric) for entry in entries])
    return rows.loc[rows["seed"] != ALL_SEEDS, "mean"].mean()


def _rows(table: pd.DataFrame, entry: Entry, test: str, metric: str) -> pd.DataFrame:
    known = {"recipe": entry.recipe, "chain": entry.chain, "test": test, "metric": metric, **entry.fields}
    keep = pd.Series(True, index=table.index)
    for column, value in known.items():
        keep &= table[column] == value
    return table[keep]


def _closed(rows: pd.DataFrame, ends: _Ends) -> pd.DataFrame:
    """Rows of one entry with what is closed of the gap in place of the scores."""
    gap = ends.end - ends.start if ends.is_open else np.nan
    rows = rows.assign(metric=GAP_CLOSED, std=np.nan, mean=(rows["mean"] - ends.start) / gap)
    rows[PUBLISHED] = np.nan
    overall = rows["seed"] == ALL_SEEDS
    for column, value in summary(rows.loc[~overall, "mean"]).items():
        rows.loc[overall, column] = value
    return rows


def add_costs(table: pd.DataFrame, fields: Sequence[str], recipes: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Add columns with what the network of every row costs: those of ``parameters`` and ``gigaflops`` that are asked for."""
    costs = {name: costs_of(recipes[name]) for name in table["recipe"].unique()}
    return table.assign(
        **{field: table["recipe"].map(lambda name, field=field: costs[name][field]) for field in fields}
    )


def costs_of(recipe: Mapping[str, Any]) -> dict[str, float]:
    """What the network of a recipe costs.

    ``parameters`` are its weights; low-rank adapters are none, since they are added to the weights that they change.
    ``gigaflops`` are 10^9 operations of the prediction of a megapixel in windows of the recipe's crop that do not overlap.
    """
    with torch.device("meta"):
        network = build_network(recipe)
    flops = forward_flops(network, recipe["crop"]) / recipe["crop"] ** 2 * _MEGA
    return {"parameters": parameters(network), "gigaflops": flops / _GIGA}
