"""Experiments: a table and a figure of chains over fields, tested on some datasets."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from frugalseg.chains import parse
from frugalseg.study.keys import AsList, ChainPattern, Keys, Seeds, Titled, key, some
from frugalseg.study.kinds.kind import Kind
from frugalseg.study.lineage import Model, Score
from frugalseg.study.messages import Problem
from frugalseg.study.metric_keys import Metric, ShownMetric
from frugalseg.study.metrics import METRICS
from frugalseg.study.selection_jobs import SelectionJobs, chance_problems, jobs_of_chain, shows_selectors

GAP_CLOSED = "gap_closed"
"""Metric of the entries between the two ends of an experiment's gap: the share of it that they close."""
COST_FIELDS = ("parameters", "gigaflops")
"""Fields that every entry has without being given them, see `frugalseg.answers.efficiency`."""

Lists = dict[str, some(Any)]


class Pattern(Keys):
    """A chain, or a pattern that stands for several."""

    chain: str = key("Chain or pattern.")
    label: str | None = key("How tables and figures call it.", None)
    recipe: str | None = key("Another recipe than the experiment's.", None)
    seeds: Seeds | None = key("Other seeds than the experiment's.", None)
    fields: dict[str, Any] | None = key("Values to pivot over, e.g. {rate: 100}.", None)
    lists: Lists | None = key("Lists for this pattern's placeholders.", None)


class Pivot(Keys):
    """Which fields make the rows and which the columns of the readable tables."""

    rows: some(str) = key(
        "Fields whose values make the rows: metric, test, label, a field of the chains, or parameters or gigaflops (a "
        "megapixel) of the network."
    )
    columns: some(str) = key("Fields whose values make the columns, the first outermost.")


class GapKeys(Keys):
    """What the metric gap_closed tells: how much of the way from one end to the other the chains between them go."""

    field: str = key(
        "Field of the chains that has the two ends, e.g. shots. Chains that agree in all other fields have a gap of their own."
    )
    start: int | float | str = key("Value of the field where the gap opens.", alias="from")
    end: int | float | str = key("Value of the field where it is closed.", alias="to")
    metric: Metric = key("What it is a gap of.")


class Figure(Keys):
    """The figure drawn from the table, if any."""

    kind: Literal["curve", "bars"] = key("curve: a metric over a field; bars: groups of bars.")
    x: str = key("Field of the horizontal axis; a curve draws words among its numbers as levels.")
    hue: Annotated[some(str), AsList] | None = key("Field or fields that tell lines or bars apart.", None)
    metrics: some(ShownMetric) = key("Metrics to draw.")


class Experiment(Titled):
    """A table and a figure: which chains, tested on what, laid out how."""

    kind: Literal["experiment"] = key("A table and a figure.")
    published: str | None = key("Number of the table in the file of published values.", None)
    chains: some(Annotated[Pattern, ChainPattern]) = key(
        "Chains or patterns with placeholders such as {rate}; a block gives one of them its own seeds, fields or label."
    )
    lists: Lists | None = key("Lists for the placeholders of all patterns.", None)
    tests: some(str) = key("Datasets whose test images are scored.")
    recipe: str = key("How the models are trained.")
    seeds: Seeds = key("One model a seed.")
    metrics: some(ShownMetric) = key("What the readable tables show; the CSV has all.")
    pivot: Pivot = key("Which fields make the rows and which the columns of the readable tables.")
    gap: GapKeys | None = key("What the metric gap_closed tells.", None)
    figure: Figure | None = key("The figure drawn from the table, if any.", None)


@dataclass(frozen=True)
class Entry:
    """One row's worth of models: a chain, trained by a recipe, once per seed.

    Attributes
    ----------
    chain, recipe : str
    seeds : tuple of int
        One model a seed.
    fields : dict
        What tables are pivoted and figures drawn over, e.g. ``{"rate": 10, "selector": "dq", "label": "..."}``. ``label``
        is always there; it is the chain itself where the config gives none.
    """

    chain: str
    recipe: str
    seeds: tuple[int, ...]
    fields: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def models(self) -> list[Model]:
        """Its models, one a seed."""
        return [(self.recipe, self.chain, seed) for seed in self.seeds]


@dataclass(frozen=True)
class Gap:
    """Entries that differ in the field of a gap, and the `fields` that all of them agree in: those at its two ends and those
    between."""

    fields: dict[str, Any]
    start: tuple[Entry, ...]
    end: tuple[Entry, ...]
    between: tuple[Entry, ...]


def expand(experiment: Mapping[str, Any]) -> list[Entry]:
    """List the entries of an experiment in their order, its chain patterns filled in from its lists.

    A pattern such as ``cyto@{selector}{rate}`` stands for every combination of ``lists: {selector: [...], rate: [...]}``; the
    values become fields of the entry. A ValueError says which placeholder has no list; a ChainError which chain is none.
    """
    entries = []
    for item in experiment["chains"]:
        pattern = {"chain": item} if isinstance(item, str) else item
        lists = {**experiment.get("lists", {}), **pattern.get("lists", {})}
        names = placeholders(pattern["chain"])
        missing = [name for name in names if name not in lists]
        if missing:
            raise ValueError(
                f"chain pattern {pattern['chain']!r} has no list for {{{missing[0]}}}: add it under 'lists'"
            )
        for values in itertools.product(*(lists[name] for name in names)):
            entries.append(_entry(experiment, pattern, dict(zip(names, values, strict=True))))
    return entries


def placeholders(pattern: str) -> list[str]:
    """Names in braces in a chain pattern, in order of first appearance."""
    return list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(pattern) if name))


def gaps(name: str, experiment: Mapping[str, Any]) -> list[Gap]:
    """The gaps of an experiment: one for each group of entries that agree in all fields but that of ``gap`` and the label.

    A ValueError says which entry lacks the field of the gap, or which group has no entry at one of its ends.
    """
    if "gap" not in experiment:
        return []
    gap = experiment["gap"]
    groups: dict[tuple, list[Entry]] = {}
    for entry in expand(experiment):
        if gap["field"] not in entry.fields:
            raise ValueError(
                f"questions.{name}.gap is one of the field {gap['field']!r}, which the chain {entry.chain!r} does not have; "
                "give it one under 'fields'"
            )
        others = {key: value for key, value in entry.fields.items() if key not in (gap["field"], "label")}
        groups.setdefault(tuple(sorted(others.items())), []).append(entry)
    return [_gap(name, gap, dict(fields), entries) for fields, entries in groups.items()]


def requests(experiment: Mapping[str, Any]) -> list[tuple[Entry, int, str]]:
    """Every (entry, seed, test) whose metrics an experiment's table is made from, in order."""
    return [(entry, seed, test) for entry in expand(experiment) for seed in entry.seeds for test in experiment["tests"]]


def cost_fields(experiment: Mapping[str, Any]) -> list[str]:
    """Those of `COST_FIELDS` that the table or the figure of an experiment is laid out by."""
    figure, pivot = experiment.get("figure", {}), experiment["pivot"]
    used = {*pivot["rows"], *pivot["columns"], figure.get("x"), *figure.get("hue", [])}
    return [field for field in COST_FIELDS if field in used]


def costed_recipes(experiment: Mapping[str, Any], recipes: Mapping[str, Any]) -> dict[str, Any]:
    """Recipes of an experiment by name where its layout asks what their networks cost; otherwise none."""
    names = dict.fromkeys(entry.recipe for entry in expand(experiment)) if cost_fields(experiment) else {}
    return {name: recipes[name] for name in names}


def selection_jobs(experiment: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, dict[int, SelectionJobs]]:
    """Jobs of selection of an experiment, chain -> seed -> jobs; none where its table does not show selectors."""
    found: dict[str, dict[int, SelectionJobs]] = {}
    for entry in expand(experiment) if shows_selectors(experiment) else ():
        for seed in entry.seeds:
            found.setdefault(entry.chain, {})[seed] = jobs_of_chain(entry.chain, seed, study)
    return found


def _scores(block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Score]:
    yield from (((entry.recipe, entry.chain, seed), test) for entry, seed, test in requests(block))


def _files(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, list[str]]:
    return {"published": [study["published"]]} if {"published"} <= block.keys() & study.keys() else {}


def _settings(block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    # The benchmarks of jobs that select are no files of the workflow; once the metrics are there, so are they.
    return {
        "recipes": costed_recipes(block, study["recipes"]),
        "selection": selection_jobs(block, study),
        "benchmarks": f"results/{study['study']}/benchmarks",
    }


def _problems(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    entries, at, where = expand(block), ("questions", name), f"questions.{name}"
    taken = [field for field in COST_FIELDS if any(field in entry.fields for entry in entries)]
    if taken:
        yield (
            (*at, "chains"),
            f"{where}.chains: the field {taken[0]!r} is counted from the recipe; take it away or rename it",
        )
    others = [other for other in study["questions"].values() if other["kind"] == "experiment"]
    yield from (((*at, "chains"), f"{where} {text}") for text in chance_problems(entries, map(expand, others), study))
    if "gap" in block:
        yield from (((*at, "gap"), message) for message in _gap_messages(name, block))
        return
    shown = {"metrics": block["metrics"], "figure": block.get("figure", {}).get("metrics", [])}
    for place, metrics in shown.items():
        if GAP_CLOSED in metrics:
            yield (*at, place), f"{where}.{place} shows {GAP_CLOSED!r}, but the experiment has no 'gap'; add one"


def _gap_messages(name: str, block: Mapping[str, Any]) -> Iterator[str]:
    metric = block["gap"]["metric"]
    if not METRICS[metric].rising:
        yield (
            f"questions.{name}.gap.metric is {metric!r}, which falls as models get better; a gap is closed upwards, take "
            "another"
        )
    try:
        gaps(name, block)
    except ValueError as error:
        yield str(error)


def _entry(experiment: Mapping[str, Any], pattern: Mapping[str, Any], variables: Mapping[str, Any]) -> Entry:
    chain = str(parse(pattern["chain"].format(**variables)))
    label = pattern.get("label", chain).format(**variables)
    return Entry(
        chain=chain,
        recipe=pattern.get("recipe", experiment["recipe"]),
        seeds=tuple(pattern.get("seeds", experiment["seeds"])),
        fields={**variables, **pattern.get("fields", {}), "label": label},
    )


def _gap(name: str, gap: Mapping[str, Any], fields: dict[str, Any], entries: list[Entry]) -> Gap:
    field, ends = gap["field"], {}
    for end in ("from", "to"):
        ends[end] = tuple(entry for entry in entries if entry.fields[field] == gap[end])
        if not ends[end]:
            others = " and ".join(f"{other} {value}" for other, value in fields.items())
            wanted = ", ".join(f"{other}: {value}" for other, value in {field: gap[end], **fields}.items())
            raise ValueError(
                f"questions.{name}.gap: of the chains{f' with {others}' if others else ''} none has {field} {gap[end]}; "
                f"add the one that the gap is counted {end}, with 'fields: {{{wanted}}}'"
            )
    between = tuple(entry for entry in entries if entry.fields[field] not in (gap["from"], gap["to"]))
    return Gap(fields, ends["from"], ends["to"], between)


KIND = Kind(
    keys=Experiment,
    answer="experiment",
    scores=_scores,
    problems=_problems,
    chains=lambda block: (("chains", entry.chain) for entry in expand(block)),
    files=_files,
    settings=_settings,
    rule=lambda block: "tabulate_and_draw" if "figure" in block else "tabulate",
    in_words=False,
)
