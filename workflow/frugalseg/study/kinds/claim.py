"""Claims: what a study's results should show, which models would show it, and what was published."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from frugalseg.chains import Chain, Stage, parse
from frugalseg.study.keys import Keys, Seeds, key, number, one_of, some
from frugalseg.study.kinds.checks import scored_problems
from frugalseg.study.kinds.kind import Kind
from frugalseg.study.lineage import Score
from frugalseg.study.messages import Problem
from frugalseg.study.metric_keys import Metric

#: Effect -> the parts that its chains play.
ROLES = {
    "gain": ("from", "to"),
    "equal": ("from", "to"),
    "different": ("from", "to"),
    "loss": ("before", "after"),
    "recovery": ("before", "after", "restored"),
    "asymmetry": ("before", "after", "other_before", "other_after"),
}
#: Effects whose bound is a margin on both sides of nothing; the others have a least or a most.
WITH_MARGIN = frozenset({"equal", "different"})
_BOUNDS = ("at_least", "at_most", "margin")


class PublishedClaim(Keys):
    """What was published, to stand beside what is measured."""

    tables: some(str) | None = key(
        "Numbers of tables in the study's file of published values, looked through in this order; the effect is worked out "
        "from their means.",
        None,
    )
    datasets: dict[str, str] | None = key(
        "Dataset of this study -> the one that stands for it in the publication.", None
    )
    metric: Metric | None = key("The metric that was printed; that of the claim where it is not given.", None)
    says: str | None = key("The publication's own words, and where they stand.", None)


class Claim(Keys):
    """A claim about the study's results, which they support, refute or leave undecided."""

    kind: Literal["claim"] = key("A claim about the results, with a bound.")
    text: str = key("The claim in words, one sentence.")
    effect: one_of(ROLES) = key(
        "What is measured. gain, equal and different: to - from; loss: (before - after) / before; recovery: (restored - after) / "
        "(before - after); asymmetry: the loss from before to after, less that from other_before to other_after."
    )
    metric: Metric = key("What is compared: a score from 0 to 1, of which larger is better.")
    test: str = key("Dataset whose test images are scored.")
    other_test: str | None = key(
        "asymmetry only. Dataset whose test images other_before and other_after are scored on.", None
    )
    recipe: str = key("How the models are trained.")
    seeds: Seeds = key(
        "Seeds of the runs, one model of every chain each. Of one seed the verdict is that of this one training."
    )
    chains: dict[str, str] = key("Part -> the chain that plays it; the effect says which parts there are.")
    at_least: number() | None = key(
        "gain, loss, recovery, asymmetry: supported where the interval lies wholly at or above it. Shares count from 0 to 1.",
        None,
    )
    at_most: number() | None = key("The same, at or below it.", None)
    margin: number(gt=0) | None = key("equal, different: the difference that does not matter.", None)
    published: PublishedClaim | None = key("What was published, to stand beside what is measured.", None)


@dataclass(frozen=True)
class Printed:
    """What a publication prints for the parts of a claim.

    Attributes
    ----------
    means : dict
        Part -> mean score.
    metric : str
        Key of the metric.
    tests, tables : tuple of str
        Test sets as the file of published values calls them, and numbers of the tables that the means stand in.
    """

    means: dict[str, float]
    metric: str
    tests: tuple[str, ...]
    tables: tuple[str, ...]


def together(claims: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All claims of a study as one question."""
    return {
        "kind": "claim",
        "title": "Do the claims hold?",
        "caption": "What the study claims, each with a bound that was set before its numbers were there, and whether they bear "
        "it out.",
        "claims": dict(claims),
    }


def tests_of_roles(claim: Mapping[str, Any]) -> dict[str, str]:
    """Part -> the dataset whose test images its chain is scored on: an asymmetry looks at another one too."""
    return {role: claim["other_test" if role.startswith("other_") else "test"] for role in ROLES[claim["effect"]]}


def scores_by_role(claim: Mapping[str, Any]) -> Iterator[tuple[str, Score]]:
    """Every part of a claim with the models that play it, one a seed, and the dataset they are scored on."""
    for role, test in tests_of_roles(claim).items():
        yield from ((role, ((claim["recipe"], claim["chains"][role], seed), test)) for seed in claim["seeds"])


def printed_means(claim: Mapping[str, Any], path: str | Path) -> Printed:
    """Look up what was published for every part of a claim.

    Its ``published`` has ``tables``, the numbers of those to look in, the first first; ``datasets``, what the publication
    calls those of this study; and ``metric``, where another one was printed. The file is a CSV with the columns table,
    chain, test, metric and mean. A ValueError says that it is not there, or which part stands in none of the tables.
    """
    if not Path(path).exists():
        raise ValueError(f"{path}: no such file, from which published values are taken; correct the key 'published'")
    values, published = _read(Path(path)), claim["published"]
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


@cache
def _read(path: Path) -> dict[tuple[str, str, str, str], float]:
    with path.open(newline="", encoding="utf-8") as lines:
        keys = ("table", "chain", "test", "metric")
        return {tuple(row[key] for key in keys): float(row["mean"]) for row in csv.DictReader(lines)}


def _renamed(chain: str, names: Mapping[str, str]) -> str:
    """A chain with other names for its datasets."""
    stages = (
        Stage(tuple(replace(source, dataset=names.get(source.dataset, source.dataset)) for source in stage.sources))
        for stage in parse(chain).stages
    )
    return str(Chain(tuple(stages)))


def _each(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The claims of a question: all of them for the verdicts, else itself."""
    return list(block["claims"].values()) if "claims" in block else [block]


def _scores(block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Score]:
    yield from (score for claim in _each(block) for _, score in scores_by_role(claim))


def _files(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, list[str]]:
    named = any("tables" in claim.get("published", {}) for claim in _each(block))
    return {"published": [study["published"]] if named else []}


def _problems(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    at, where = ("questions", name), f"questions.{name}"
    messages = list(_messages(block))
    yield from ((at, f"{where}{text}") for text in messages)
    yield from scored_problems(name, block, study)
    if not messages and "published" in block:
        yield from ((at, f"{where}.published{text}") for text in _published_messages(block, study))


def _messages(claim: Mapping[str, Any]) -> Iterator[str]:
    effect = claim["effect"]
    if set(claim["chains"]) != set(ROLES[effect]):
        given = ", ".join(claim["chains"]) or "none"
        yield f".chains: the effect {effect!r} needs the parts {', '.join(ROLES[effect])}, and only them; there are: {given}"
    if effect == "asymmetry" and "other_test" not in claim:
        yield " lacks the key 'other_test', the test set of other_before and other_after"
    if effect != "asymmetry" and "other_test" in claim:
        yield f".other_test means nothing to the effect {effect!r}; take it away"
    allowed = ("margin",) if effect in WITH_MARGIN else ("at_least", "at_most")
    given = [bound for bound in _BOUNDS if bound in claim]
    if len(given) != 1 or given[0] not in allowed:
        yield (
            f": the effect {effect!r} needs {' or '.join(map(repr, allowed))} as its bound, and only one; "
            f"it has {' and '.join(map(repr, given)) or 'none'}"
        )


def _published_messages(claim: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[str]:
    published = claim["published"]
    if not published:
        yield " is {}; say what was published, or take it away"
    elif "tables" not in published:
        surplus = [at for at in ("datasets", "metric") if at in published]
        if surplus:
            yield f".{surplus[0]} means nothing without 'tables', in which the values stand"
    elif "published" not in study:
        yield ".tables names tables of the file of published values; name the file under the key 'published'"
    else:
        try:
            printed_means(claim, study["published"])
        except ValueError as error:
            yield f": {error}"


KIND = Kind(
    keys=Claim,
    answer="claim",
    scores=_scores,
    problems=_problems,
    chains=lambda block: (("chains", chain) for chain in block["chains"].values()),
    files=_files,
    knows_seeds=True,
)
