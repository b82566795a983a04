"""What the figure of an experiment draws: its rows, the panels and hues that they fall into, and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from frugalseg.answers.tables import ALL_SEEDS, combinations, of_models
from frugalseg.reporting.formats import value_text

#: A panel shows one value of each of these, unless they are what the horizontal axis or the colour stands for.
_PANEL_FIELDS = ("test", "metric")


@dataclass(frozen=True)
class Plot:
    """Rows to draw and what to draw them over.

    Attributes
    ----------
    runs, overall : pd.DataFrame
        Rows of single runs and over all runs. Both have the columns ``hue_key``, the values of the hue's fields, and
        ``place``, the number in `x` or NaN where it holds a word; `overall` has ``error``, of one kind for the whole figure.
    x : str
        Field of the horizontal axis.
    hue : tuple of str
        Fields that tell lines or bars apart.
    spread : str
        What the error is, in words.
    """

    runs: pd.DataFrame
    overall: pd.DataFrame
    x: str
    hue: tuple[str, ...]
    spread: str

    @property
    def words(self) -> list[str]:
        """What stands among the numbers of `x` and is none."""
        return self.overall.loc[self.overall["place"].isna(), self.x].unique().tolist()

    @property
    def hues(self) -> list[tuple]:
        return combinations(self.overall, self.hue)

    @property
    def has_published(self) -> bool:
        return bool(self.overall["published_mean"].notna().any())

    @property
    def panels(self) -> list[dict[str, Any]]:
        """The fields and values that single out each panel."""
        fields = [field for field in _PANEL_FIELDS if field not in {self.x, *self.hue}]
        return [dict(zip(fields, key, strict=True)) for key in combinations(self.overall, fields)]

    def select(self, rows: pd.DataFrame, panel: dict[str, Any], hue: tuple) -> pd.DataFrame:
        """Those of the rows that belong to one panel and hue."""
        keep = rows["hue_key"].map(lambda key: key == hue).astype(bool)
        for field, value in panel.items():
            keep &= rows[field] == value
        return rows[keep]


def prepare(
    table: pd.DataFrame,
    x: str,
    metrics: Sequence[str],
    hue: str | Sequence[str] | None,
    gap: Mapping[str, Any] | None = None,
) -> Plot:
    """Choose from an experiment's table what its figure draws.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    x, metrics, hue, gap
        As of :func:`frugalseg.answers.figures.curve`.

    Raises
    ------
    ValueError
        When an entry lacks a field, or two entries fall on one point.
    """
    hue = (hue,) if isinstance(hue, str) else tuple(hue or ())
    table = table[table["metric"].isin(metrics)]
    table = table.sort_values("metric", key=lambda keys: keys.map(list(metrics).index), kind="stable")
    _check_fields(table, [x, *hue])
    table = table.assign(
        hue_key=list(table[list(hue)].itertuples(index=False, name=None)) if hue else [()] * len(table),
        place=pd.to_numeric(table[x], errors="coerce"),
    )
    runs, overall = table[table["seed"] != ALL_SEEDS], table[table["seed"] == ALL_SEEDS]
    clash = overall[overall.duplicated([x, "hue_key", "test", "metric"])]
    if not clash.empty:
        raise ValueError(
            f"experiment {clash['experiment'].iloc[0]!r}: the chain {clash['chain'].iloc[0]!r} falls on the same point of the "
            f"figure as another; name a field in 'hue' that tells them apart"
        )
    overall, spread = _with_error(overall, runs, gap)
    return Plot(runs=runs, overall=overall, x=x, hue=hue, spread=spread)


def _check_fields(table: pd.DataFrame, fields: Sequence[str]) -> None:
    for field in fields:
        lacking = table["chain"] if field not in table.columns else table.loc[table[field].isna(), "chain"]
        if len(lacking):
            raise ValueError(
                f"experiment {table['experiment'].iloc[0]!r}: the chain {lacking.iloc[0]!r} has no field {field!r}, "
                "which its figure is drawn by; give it one under 'fields', or draw by another"
            )


def _with_error(overall: pd.DataFrame, runs: pd.DataFrame, gap: Mapping[str, Any] | None) -> tuple[pd.DataFrame, str]:
    """Add the column ``error``, of one kind for the whole figure, and say of which."""
    repeated = overall[overall["mean"].notna() & ~_at_ends(overall, gap)]
    if len(repeated) and (repeated["n"] > 1).all():
        fewest, most = repeated["n"].min(), repeated["n"].max()
        number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        return overall.assign(error=overall["std"]), f"standard deviation over {number} runs"
    model = of_models(runs)
    errors = runs.assign(error=runs["std"] / np.sqrt(runs["n"])).groupby(model, dropna=False)["error"].mean()
    return overall.merge(errors.reset_index(), on=model), "standard error over test images"


def _at_ends(rows: pd.DataFrame, gap: Mapping[str, Any] | None) -> pd.Series:
    """Which rows are of the ends of a gap: what is drawn anew between them, such as shots, leaves nothing to draw there."""
    if gap is None:
        return pd.Series(False, index=rows.index)
    field = gap["field"]
    # In a CSV numbers beside words are read as text.
    ends = {value_text(field, gap[key]) for key in ("from", "to")}
    return rows[field].map(lambda value: value_text(field, value)).isin(ends)
