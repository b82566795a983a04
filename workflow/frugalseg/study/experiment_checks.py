"""Checks of the experiments of a config that its schema cannot make: what their layout names and their entries lack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from frugalseg.study.experiments import COST_FIELDS, GAP_CLOSED, expand, gaps

# Metrics that fall as models get better, of which no gap from worse to better can be told.
_FALLING = {"hd95"}


def experiment_problems(name: str, experiment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the fields of an experiment's entries and with its gap, and the key it stands at.

    Parameters
    ----------
    name : str
        Of the experiment.
    experiment : mapping
        A block of ``experiments`` that the schema has accepted.
    """
    where = f"experiments.{name}"
    try:
        entries = expand(experiment)
    except ValueError:
        # The checks of chains tell it.
        return
    taken = [field for field in COST_FIELDS if any(field in entry.fields for entry in entries)]
    if taken:
        yield "chains", f"{where}.chains: the field {taken[0]!r} is counted from the recipe; take it away or rename it"
    if "gap" in experiment:
        yield from _gap_problems(name, experiment)
        return
    shown = {"metrics": experiment["metrics"], "figure": experiment.get("figure", {}).get("metrics", [])}
    for key, metrics in shown.items():
        if GAP_CLOSED in metrics:
            yield key, f"{where}.{key} shows {GAP_CLOSED!r}, but the experiment has no 'gap'; add one"


def _gap_problems(name: str, experiment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    metric = experiment["gap"]["metric"]
    if metric in _FALLING:
        yield (
            "gap",
            f"experiments.{name}.gap.metric is {metric!r}, which falls as models get better; a gap is closed upwards, take "
            "another",
        )
    try:
        gaps(name, experiment)
    except ValueError as error:
        yield "gap", str(error)
