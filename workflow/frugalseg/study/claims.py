"""Claims: blocks of config that say what a study's results should show, which models would show it, and what was published."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frugalseg.chains import Chain, Stage, parse

Measured = tuple[str, str, int, str]
"""One model on one test set: recipe, chain, seed, test."""

#: Kind -> the parts that its chains play.
ROLES = {
    "gain": ("from", "to"),
    "equal": ("from", "to"),
    "different": ("from", "to"),
    "loss": ("before", "after"),
    "recovery": ("before", "after", "restored"),
    "asymmetry": ("before", "after", "other_before", "other_after"),
}
#: Kinds whose bound is a margin on both sides of nothing; the others have a least or a most.
WITH_MARGIN = frozenset({"equal", "different"})


@dataclass(frozen=True)
class Printed:
    """What a publication prints for the parts of a claim.

    Attributes
    ----------
    means : dict
        Part -> mean score.
    metric : str
        Key of the metric.
    tests : tuple of str
        Test sets, as the file of published values calls them.
    tables : tuple of str
        Numbers of the tables that the means stand in.
    """

    means: dict[str, float]
    metric: str
    tests: tuple[str, ...]
    tables: tuple[str, ...]


def tests_of_roles(claim: Mapping[str, Any]) -> dict[str, str]:
    """Part -> the dataset whose test images its chain is scored on: an asymmetry looks at another one too."""
    return {role: claim["other_test" if role.startswith("other_") else "test"] for role in ROLES[claim["kind"]]}


def measured_by_role(claim: Mapping[str, Any]) -> Iterator[tuple[str, Measured]]:
    """Every part of a claim with the models that play it, one a seed."""
    for role, test in tests_of_roles(claim).items():
        yield from ((role, (claim["recipe"], claim["chains"][role], seed, test)) for seed in claim["seeds"])


def claim_requests(claims: Mapping[str, Mapping[str, Any]]) -> list[Measured]:
    """Every model on every test set that claims are judged by, each once, in order of first use."""
    return list(dict.fromkeys(measured for claim in claims.values() for _, measured in measured_by_role(claim)))


def claim_models(claims: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Every (recipe, chain, seed) that claims are judged by, each once."""
    return list(dict.fromkeys(measured[:3] for measured in claim_requests(claims)))


def printed_means(claim: Mapping[str, Any], path: str | Path) -> Printed:
    """Look up what was published for every part of a claim.

    Parameters
    ----------
    claim : mapping
        A block of ``claims`` in the config. Its ``published`` has ``tables``, the numbers of those to look in, the first
        first; ``datasets``, what the publication calls those of this study; and ``metric``, where another one was printed.
    path : str or Path
        CSV with the columns table, chain, test, metric and mean.

    Raises
    ------
    ValueError
        When the file is not there, or a part stands in none of the tables.
    """
    if not Path(path).exists():
        raise ValueError(f"{path}: no such file, from which published values are taken; correct the key 'published'")
    with Path(path).open(newline="", encoding="utf-8") as lines:
        values = {
            (row["table"], row["chain"], row["test"], row["metric"]): float(row["mean"])
            for row in csv.DictReader(lines)
        }
    published = claim["published"]
    names, metric = published.get("datasets", {}), published.get("metric", claim["metric"])
    means, tests, tables = {}, {}, {}
    for role, test in tests_of_roles(claim).items():
        chain, test = _renamed(claim["chains"][role], names), names.get(test, test)
        table = next((table for table in published["tables"] if (table, chain, test, metric) in values), None)
        if table is None:
            raise ValueError(
                f"{path}: no table of {', '.join(published['tables'])} has {metric} of {chain!r} on {test}, the part {role!r}"
            )
        means[role], tests[test], tables[table] = values[table, chain, test, metric], None, None
    return Printed(means, metric, tuple(tests), tuple(tables))


def _renamed(chain: str, names: Mapping[str, str]) -> str:
    """A chain with other names for its datasets."""
    stages = (
        Stage(tuple(replace(source, dataset=names.get(source.dataset, source.dataset)) for source in stage.sources))
        for stage in parse(chain).stages
    )
    return str(Chain(tuple(stages)))
