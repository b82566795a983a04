"""Phenomena: statements about a study's results, and whether its numbers bear them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from frugalseg.reporting.names import decimals, metric_name
from frugalseg.reporting.tables import ALL_SEEDS, read_metrics

COLUMNS = [
    *("phenomenon", "statement", "kind", "metric", "test", "recipe", "seed"),
    *("value", "min", "max", "at_least", "at_most", "verdict"),
]
HOLDS, FAILS, UNDEFINED = "holds", "does not hold", "undefined"
#: Kind -> the parts that its chains play.
ROLES = {"gain": ("from", "to"), "loss": ("before", "after"), "recovery": ("before", "after", "restored")}

#: One model on one test set: recipe, chain, seed, test.
Run = tuple[str, str, int, str]


def requests(phenomena: Mapping[str, Mapping[str, Any]]) -> list[Run]:
    """Every (recipe, chain, seed, test) whose metrics the phenomena are judged by, each once, in order of first use."""
    runs = (
        (block["recipe"], chain, seed, block["test"])
        for block in phenomena.values()
        for chain in block["chains"].values()
        for seed in block["seeds"]
    )
    return list(dict.fromkeys(runs))


def judge(phenomena: Mapping[str, Mapping[str, Any]], files: Mapping[Run, str | Path]) -> pd.DataFrame:
    """Measure each phenomenon and hold it against its bound.

    With the means of a metric over test images, by the part that a chain plays:

    - ``gain``: to - from,
    - ``loss``: (before - after) / before, the fraction that is lost,
    - ``recovery``: (restored - after) / (before - after), the fraction of the loss that is won back.

    A loss is undefined where there was nothing to lose (before = 0), a recovery where nothing was lost
    (before = after).

    Parameters
    ----------
    phenomena : mapping
        The block ``phenomena`` of the config: name -> statement, kind, metric, test, recipe, seeds, chains (part ->
        chain) and the bound ``at_least`` or ``at_most``.
    files : mapping of (recipe, chain, seed, test) to path
        The CSV of one model on one test set: a row per test image, a column per metric.

    Returns
    -------
    pd.DataFrame
        :data:`COLUMNS`. A row per seed, then one with the seed ``all``: ``value`` is the mean over the seeds for which
        the phenomenon is defined, with their ``min`` and ``max``. ``verdict`` is "holds", "does not hold" or
        "undefined".

    Raises
    ------
    ValueError
        When the metrics of some seeds are missing (all are named), a kind is unknown, its chains are not the ones it
        needs, or there is no bound.
    """
    _check_files(phenomena, files)
    rows = [row for name, block in phenomena.items() for row in _rows(name, block, files)]
    return pd.DataFrame(rows, columns=COLUMNS)


def to_markdown(verdicts: pd.DataFrame) -> str:
    """Write the verdicts over all seeds as a Markdown table."""
    lines = [
        "| Phenomenon | Statement | Measured | Bound | Verdict |",
        "| :-- | :-- | --: | --: | :-- |",
    ]
    for row in verdicts[verdicts["seed"] == ALL_SEEDS].itertuples():
        seeds = verdicts[(verdicts["phenomenon"] == row.phenomenon) & (verdicts["seed"] != ALL_SEEDS)]
        cells = [row.phenomenon.replace("_", " "), row.statement, _measured(row), _bound(row), _verdict(row, seeds)]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    notes = (
        "Measured: mean over seeds, in brackets the smallest and the largest. Gain: difference of the means over test "
        "images. Loss: fraction of the score before that is gone after. Recovery: fraction of the loss that is won back."
    )
    return "\n".join([*lines, "", notes, ""])


def _check_files(phenomena: Mapping[str, Mapping[str, Any]], files: Mapping[Run, str | Path]) -> None:
    missing: dict[tuple[str, str, str], list[str]] = {}
    for recipe, chain, seed, test in requests(phenomena):
        path = files.get((recipe, chain, seed, test))
        if path is None or not Path(path).exists():
            missing.setdefault((recipe, chain, test), []).append(str(seed))
    if missing:
        lines = [
            f"{chain} (recipe {recipe}) on {test}: seed {', '.join(seeds)}"
            for (recipe, chain, test), seeds in missing.items()
        ]
        raise ValueError("phenomena cannot be judged without these metrics; evaluate them first: " + "; ".join(lines))


def _rows(name: str, block: Mapping[str, Any], files: Mapping[Run, str | Path]) -> Iterator[dict[str, Any]]:
    _check_block(name, block)
    known = {"phenomenon": name, **{key: block[key] for key in ("statement", "kind", "metric", "test", "recipe")}}
    known |= {"at_least": block.get("at_least", np.nan), "at_most": block.get("at_most", np.nan)}
    values = pd.Series({seed: _value(block, seed, files) for seed in block["seeds"]}, dtype=np.float64)
    for seed, value in values.items():
        yield known | {"seed": str(seed), "value": value, "min": value, "max": value, "verdict": _judge(value, block)}
    overall = {"value": values.mean(), "min": values.min(), "max": values.max()}
    yield known | {"seed": ALL_SEEDS, **overall, "verdict": _judge(values.mean(), block)}


def _check_block(name: str, block: Mapping[str, Any]) -> None:
    if block["kind"] not in ROLES:
        raise ValueError(f"phenomenon {name!r}: there is no kind {block['kind']!r}; the kinds are {', '.join(ROLES)}")
    roles = ROLES[block["kind"]]
    if set(block["chains"]) != set(roles):
        raise ValueError(
            f"phenomenon {name!r}: a {block['kind']} needs the chains {', '.join(roles)}, but has {', '.join(block['chains'])}"
        )
    if "at_least" not in block and "at_most" not in block:
        raise ValueError(f"phenomenon {name!r}: has no bound; give it 'at_least' or 'at_most'")


def _value(block: Mapping[str, Any], seed: int, files: Mapping[Run, str | Path]) -> float:
    mean = {
        role: float(read_metrics(files[block["recipe"], chain, seed, block["test"]], [block["metric"]]).mean().item())
        for role, chain in block["chains"].items()
    }
    if block["kind"] == "gain":
        return mean["to"] - mean["from"]
    lost = mean["before"] - mean["after"]
    if block["kind"] == "loss":
        return _ratio(lost, mean["before"])
    return _ratio(mean["restored"] - mean["after"], lost)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan


def _judge(value: float, block: Mapping[str, Any]) -> str:
    if np.isnan(value):
        return UNDEFINED
    within = block.get("at_least", -np.inf) <= value <= block.get("at_most", np.inf)
    return HOLDS if within else FAILS


def _measured(row) -> str:
    what = f"{row.kind} of {metric_name(row.metric)} on {row.test}"
    if np.isnan(row.value):
        return f"{what}: undefined"
    return f"{what}: {_number(row, row.value)} ({_number(row, row.min)} to {_number(row, row.max)})"


def _bound(row) -> str:
    bounds = [("≥", row.at_least), ("≤", row.at_most)]
    return ", ".join(f"{sign} {_number(row, bound)}" for sign, bound in bounds if not np.isnan(bound))


def _number(row, value: float) -> str:
    return f"{value:.{decimals(row.metric)}f}" if row.kind == "gain" else f"{100 * value:.1f} %"


def _verdict(row, seeds: pd.DataFrame) -> str:
    agreeing = int((seeds["verdict"] == row.verdict).sum())
    return f"{row.verdict} ({agreeing} of {len(seeds)} seeds)" if len(seeds) > 1 else row.verdict
