"""How much of a gap is closed: rows of an experiment's table for the entries between the gap's two ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from frugalseg.answers.tables import ALL_SEEDS, summary
from frugalseg.study.experiments import GAP_CLOSED, Entry, Gap
from frugalseg.study.metrics import metric_of


class _Ends(NamedTuple):
    """Scores that a gap is counted between on one test set, each the mean over the runs of the entries there."""

    start: float
    end: float

    @property
    def is_open(self) -> bool:
        return self.end > self.start


def add_gap_closed(table: pd.DataFrame, gaps: Sequence[Gap], metric: str) -> pd.DataFrame:
    """Add what every run between the ends of its gap closes of it: ``(score - start) / (end - start)``.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    gaps : sequence of Gap
        From :func:`frugalseg.study.experiments.gaps`.
    metric : str
        Key of the metric that the scores are of; those at the ends are means over all their runs.

    Returns
    -------
    pd.DataFrame
        The table and, with the metric ``gap_closed``, rows as it has them: of one run with its number of images and no
        standard deviation, of all runs with the mean and the sample standard deviation over runs. NaN where the gap is
        not positive.
    """
    parts = [table]
    for gap in gaps:
        for test, ends in _ends_by_test(table, gap, metric).items():
            parts += [_closed(_rows(table, entry, test, metric), ends) for entry in gap.between]
    return pd.concat(parts, ignore_index=True)


def notes(table: pd.DataFrame, gaps: Sequence[Gap], block: Mapping[str, Any]) -> list[str]:
    """Sentences for below a table: what the gap is, and where there is none to close.

    Parameters
    ----------
    table, gaps
        As of :func:`add_gap_closed`.
    block : mapping
        ``gap`` of the experiment.
    """
    metric, digits = block["metric"], metric_of(block["metric"]).digits
    start, end = (f"{block['field']} {block[key]}" for key in ("from", "to"))
    sentences = [
        f"{metric_of(GAP_CLOSED).name}: share of the way from {start} (0) to {end} (1) in {metric_of(metric).name}, both ends "
        "averaged over their runs."
    ]
    for gap in gaps:
        for test, ends in _ends_by_test(table, gap, metric).items():
            if not ends.is_open:
                where = " and ".join([f"on {test}", *(f"with {field} {value}" for field, value in gap.fields.items())])
                sentences.append(
                    f"There is no gap to close {where}: {ends.start:.{digits}f} with {start}, {ends.end:.{digits}f} with {end}."
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
    rows[["published_mean", "published_std", "published_std_over"]] = np.nan
    overall = rows["seed"] == ALL_SEEDS
    for column, value in summary(rows.loc[~overall, "mean"]).items():
        rows.loc[overall, column] = value
    return rows
