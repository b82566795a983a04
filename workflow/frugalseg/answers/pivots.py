"""Readable tables: an experiment's long table, turned to rows and columns, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import pandas as pd

from frugalseg.answers.tables import ALL_SEEDS, combinations, of_models
from frugalseg.reporting import latex
from frugalseg.reporting.formats import field_name, value_text
from frugalseg.study.metrics import metric_of

_MISSING = "–"


@dataclass(frozen=True)
class Pivot:
    """A table as it is printed.

    Attributes
    ----------
    headings : tuple of str
        Heading of each column that names a row.
    rows : tuple of tuple of str
        What names each row; as long as `headings`.
    columns : tuple of tuple of str
        What names each column of `cells`, from the outermost level inwards.
    cells : tuple of tuple of str
        One tuple a row, as long as `columns`.
    notes : tuple of str
        Sentences to print below.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def pivot(
    table: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    metrics: Sequence[str],
    notes: Sequence[str] = (),
) -> Pivot:
    """Turn an experiment's table into rows and columns.

    A cell reads "mean ± standard deviation over test images"; for several runs both are averaged over the runs and the
    standard deviation of the means over runs follows in brackets. Where there are published values, each row is
    followed by one that holds them, in the same notation.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    rows, columns : sequence of str
        Fields that name the rows and the columns, the outermost first: fields of the entries, ``chain``, ``recipe``,
        ``test`` or ``metric``. Rows and columns keep the order in which the table has them.
    metrics : sequence of str
        Keys of the metrics to show, in this order.
    notes : sequence of str
        Sentences to print below, after those that say what the cells are.

    Returns
    -------
    Pivot

    Raises
    ------
    ValueError
        When an entry lacks one of the fields, or two entries fall on the same cell.
    """
    shown = _overall(table, rows, columns, metrics)
    row_keys, column_keys = combinations(shown, rows), combinations(shown, columns)
    cells = {(row.row_key, row.column_key): row for row in shown.itertuples()}
    with_published = shown["published_mean"].notna().any()

    names, lines = [], []
    for key in row_keys:
        name = [value_text(field, value) for field, value in zip(rows, key, strict=True)]
        found = [cells.get((key, column)) for column in column_keys]
        names.append((*name, "ours") if with_published else tuple(name))
        lines.append(tuple(_MISSING if cell is None else _ours(cell) for cell in found))
        if with_published and any(cell is not None and pd.notna(cell.published_mean) for cell in found):
            names.append((*name, "published"))
            lines.append(tuple(_MISSING if cell is None else _published(cell) for cell in found))
    return Pivot(
        headings=tuple(_headings(rows, with_published)),
        rows=tuple(names),
        columns=tuple(
            tuple(value_text(field, value) for field, value in zip(columns, key, strict=True)) for key in column_keys
        ),
        cells=tuple(lines),
        notes=(*_notes(shown, {*rows, *columns}, with_published), *notes),
    )


def to_markdown(pivot: Pivot) -> str:
    """Write a pivot as a Markdown table with its notes below."""
    headings = [*pivot.headings, *(", ".join(levels) for levels in pivot.columns)]
    rule = [":--"] * len(pivot.headings) + ["--:"] * len(pivot.columns)
    body = [[*name, *cells] for name, cells in zip(_without_repeats(pivot.rows), pivot.cells, strict=True)]
    lines = ["| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in (headings, rule, *body)]
    return "\n".join([*lines, "", " ".join(pivot.notes), ""])


def to_latex(pivot: Pivot, caption: str, label: str) -> str:
    """Write a pivot as a LaTeX table (`frugalseg.reporting.latex`).

    Parameters
    ----------
    pivot : Pivot
    caption, label : str
        The caption as plain text, and the label to refer to the table by.
    """
    columns = "l" * len(pivot.headings) + "r" * len(pivot.columns)
    return latex.table(columns, _latex_header(pivot), _latex_body(pivot), caption, label, " ".join(pivot.notes))


def _overall(table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """The rows over all runs of the metrics shown, with their spread over images and the keys of their cells."""
    table = table[table["metric"].isin(metrics)]
    _check_fields(table, [*rows, *columns])
    model = of_models(table)
    runs = table[table["seed"] != ALL_SEEDS]
    over_images = runs.groupby(model, dropna=False)["std"].mean().rename("std_over_images").reset_index()
    shown = table[table["seed"] == ALL_SEEDS].merge(over_images, on=model)
    shown = shown.sort_values("metric", key=lambda keys: keys.map(list(metrics).index), kind="stable")
    shown = shown.assign(
        row_key=list(shown[list(rows)].itertuples(index=False, name=None)),
        column_key=list(shown[list(columns)].itertuples(index=False, name=None)),
    )
    _check_one_entry_a_cell(shown, rows, columns)
    return shown


def _check_fields(table: pd.DataFrame, fields: Iterable[str]) -> None:
    for field in fields:
        lacking = table["chain"] if field not in table.columns else table.loc[table[field].isna(), "chain"]
        if len(lacking):
            raise ValueError(
                f"experiment {table['experiment'].iloc[0]!r}: the chain {lacking.iloc[0]!r} has no field {field!r}, "
                "which its table is laid out by; give it one under 'fields', or lay the table out by another"
            )


def _check_one_entry_a_cell(shown: pd.DataFrame, rows: Sequence[str], columns: Sequence[str]) -> None:
    clash = shown[shown.duplicated(["row_key", "column_key"], keep=False)]
    if not clash.empty:
        culprits = clash[["chain", "recipe", "test", "metric"]].head(2).apply(lambda row: " ".join(row), axis=1)
        raise ValueError(
            f"experiment {shown['experiment'].iloc[0]!r}: {' and '.join(map(repr, culprits))} fall on one cell of a table "
            f"with the rows {', '.join(rows)} and the columns {', '.join(columns)}; add a field that tells them apart"
        )


def _headings(rows: Sequence[str], with_published: bool) -> Iterator[str]:
    yield from map(field_name, rows)
    if with_published:
        yield "Values"


def _ours(cell) -> str:
    text = _mean_and_spread(cell.metric, cell.mean, cell.std_over_images)
    return f"{text} {_bracket(cell.metric, cell.std)}" if cell.n > 1 else text


def _published(cell) -> str:
    if pd.isna(cell.published_mean):
        return _MISSING
    if cell.published_std_over == "runs":
        return f"{cell.published_mean:.{metric_of(cell.metric).digits}f} {_bracket(cell.metric, cell.published_std)}"
    return _mean_and_spread(cell.metric, cell.published_mean, cell.published_std)


def _mean_and_spread(metric: str, mean: float, spread: float) -> str:
    if pd.isna(mean):
        return _MISSING
    digits = metric_of(metric).digits
    return f"{mean:.{digits}f}" if pd.isna(spread) else f"{mean:.{digits}f} ± {spread:.{digits}f}"


def _bracket(metric: str, spread: float) -> str:
    return f"(± {spread:.{metric_of(metric).digits}f})"


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


def _without_repeats(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Row names with what they share with the row above left blank, from the left."""
    yield from rows[:1]
    for above, row in pairwise(rows):
        shared = next((level for level, (a, b) in enumerate(zip(above, row, strict=True)) if a != b), len(row))
        yield ("",) * shared + row[shared:]


def _latex_header(pivot: Pivot) -> Iterator[str]:
    stub, levels = len(pivot.headings), len(pivot.columns[0])
    for level in range(levels - 1):
        cells, rules, start = [""] * stub, [], stub + 1
        for outer, group in groupby(pivot.columns, key=lambda names: names[: level + 1]):
            width = len(list(group))
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{latex.escape(outer[-1])}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
            start += width
        yield " & ".join(cells) + r" \\"
        yield " ".join(rules)
    yield " & ".join(map(latex.escape, [*pivot.headings, *(names[-1] for names in pivot.columns)])) + r" \\"


def _latex_body(pivot: Pivot) -> Iterator[str]:
    for index, (name, cells) in enumerate(zip(_without_repeats(pivot.rows), pivot.cells, strict=True)):
        # A little room before every new outermost name, where names span several rows.
        if index and len(pivot.headings) > 1 and name[0]:
            yield r"\addlinespace"
        yield " & ".join(map(latex.escape, [*name, *cells])) + r" \\"
