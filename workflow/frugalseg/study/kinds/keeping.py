"""Keeping: ways to learn a dataset without losing another, what each keeps, what it learns, and the one to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from frugalseg.chains import ChainError
from frugalseg.study.keys import Keys, Seeds, Titled, key, number, some
from frugalseg.study.kinds.checks import scored_problems
from frugalseg.study.kinds.kind import Kind
from frugalseg.study.lineage import Model, Score, lineage, trained_as
from frugalseg.study.messages import Problem, nearest
from frugalseg.study.metric_keys import Metric
from frugalseg.study.recipe import used_recipes

START = "the start"
"""What tables and figures call the model that is fine-tuned."""


class CandidateKeys(Keys):
    """One way to train."""

    chain: str = key("How its models are trained; fine-tuned from the start or in a first stage.")
    recipe: str | None = key("Another recipe than the block's, one with 'parent' set to it.", None)
    label: str | None = key("What tells it from the other candidates of its arm.", None)


class Keeping(Titled):
    """Ways to learn a dataset without losing another: what each keeps, what it learns, and the one to take."""

    kind: Literal["keeping"] = key("Ways to learn a dataset without losing another, and the one to take.")
    start: str = key("Chain of the model that is fine-tuned; the recipe of the block trains it.")
    source: str = key("Dataset whose score is to be kept.")
    target: str = key("Dataset that is to be learnt.")
    recipe: str = key("How the start and those candidates are trained that name no recipe.")
    seeds: Seeds = key(
        "Seeds of the runs, one model each of the start and of every candidate; with three or more the intervals are of use."
    )
    metric: Metric = key("What is scored, from 0 to 1.", "pq")
    source_weight: number(ge=0, le=1) = key(
        "Share of the source in the mean of both scores that candidates are chosen by, on tuning images; that of the target is "
        "the rest.",
        0.5,
    )
    arms: dict[str, some(CandidateKeys)] = key(
        "Name of the arm -> its candidates, of which tuning images choose one; as many for every arm. The others are compared "
        "with the first, on the target: let it be naive fine-tuning.",
        min_length=1,
    )


@dataclass(frozen=True)
class Candidate:
    """One way to train, of which an arm has one or more; the start is one too.

    Attributes
    ----------
    arm : str
        Name of its arm; `START` of the start.
    label : str
        What tells it from the other candidates of its arm; empty where there is none and nothing is said.
    recipe, chain : str
        Its models, one a seed.
    """

    arm: str
    label: str
    recipe: str
    chain: str

    @property
    def title(self) -> str:
        """Arm and label as sentences name them: ``replay (5 %)``."""
        return f"{self.arm} ({self.label})" if self.label else self.arm


def start_of(block: Mapping[str, Any]) -> Candidate:
    """The model that all candidates are fine-tuned from."""
    return Candidate(START, "", block["recipe"], block["start"])


def candidates_of(block: Mapping[str, Any]) -> list[Candidate]:
    """Candidates of all arms, arm by arm, in the order of the config.

    One without a label has its chain for one, and its recipe where it names one; the only candidate of its arm needs none.
    """
    return [_candidate(block, arm, item) for arm, items in block["arms"].items() for item in items]


def keeping_models(block: Mapping[str, Any]) -> list[Model]:
    """Every model that is scored, each once, the start's first."""
    ways = [start_of(block), *candidates_of(block)]
    return list(dict.fromkeys((way.recipe, way.chain, seed) for way in ways for seed in block["seeds"]))


def keeping_requests(block: Mapping[str, Any], study: Any = None) -> list[Score]:
    """Every model with each of the two datasets that it is scored on, in order."""
    return [(model, dataset) for model in keeping_models(block) for dataset in (block["source"], block["target"])]


def _chains(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "start", block["start"]
    yield from ((f"arms.{way.arm}", way.chain) for way in candidates_of(block))


def _settings(block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    names = [block["recipe"], *(candidate.recipe for candidate in candidates_of(block))]
    return {"recipes": used_recipes(names, study["recipes"])}


def _problems(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    at, where = ("questions", name), f"questions.{name}"
    if not study["tuning"]:
        yield at, f"{where} chooses by tuning images, and none are kept; give the study's 'tuning', 20 for example"
    for role in ("source", "target"):
        if block[role] not in study["datasets"]:
            known = nearest(block[role], study["datasets"])
            yield (*at, role), f"{where}.{role} is the unknown dataset {block[role]!r}; {known}"
    if block["source"] == block["target"]:
        yield (*at, "target"), f"{where}: source and target are both {block['source']!r}; there is nothing to keep"
    yield from scored_problems(name, block, study)
    yield from (((*at, "arms"), f"{where}.arms: {text}") for text in _budget_messages(block))
    for candidate in candidates_of(block):
        text = f"{where}: the recipe {candidate.recipe!r} of {candidate.title} learns foreground; choose one that finds cells"
        if study["recipes"].get(candidate.recipe, {}).get("target") == "foreground":
            yield (*at, "arms", candidate.arm), text
    for candidate in (start_of(block), *candidates_of(block)):
        yield from (
            ((*at, "arms", candidate.arm), f"{where}: {text}") for text in _recipe_messages(candidate, block, study)
        )


def _budget_messages(block: Mapping[str, Any]) -> Iterator[str]:
    """Arms that are tried more often than others, or the same model twice in one of them."""
    counts = {arm: len(items) for arm, items in block["arms"].items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{arm!r} {count}" for arm, count in counts.items())
        yield (
            f"an arm that may try more often finds more; give all arms the same number of candidates (now: {listed})"
        )
    seen: set[tuple[str, str, str]] = set()
    for candidate in candidates_of(block):
        model = (candidate.arm, candidate.recipe, candidate.chain)
        if model in seen:
            yield f"the arm {candidate.arm!r} has {candidate.chain!r} by the recipe {candidate.recipe!r} twice"
        seen.add(model)


def _recipe_messages(candidate: Candidate, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[str]:
    """A recipe that is not there, or a candidate that is fine-tuned from something else than the start."""
    recipes = study["recipes"]
    if candidate.recipe not in recipes:
        yield f"{candidate.title} names the unknown recipe {candidate.recipe!r}; {nearest(candidate.recipe, recipes)}"
        return
    try:
        yield from _start_messages(candidate, block, recipes)
    except (ChainError, KeyError):
        # Reported by the checks of chains and of recipes.
        return


def _start_messages(candidate: Candidate, block: Mapping[str, Any], recipes: Mapping[str, Any]) -> Iterator[str]:
    for seed in block["seeds"]:
        start = trained_as((block["recipe"], block["start"], seed), recipes)
        stages = lineage((candidate.recipe, candidate.chain, seed), recipes)[::-1]
        if len(stages) > 1 and start not in stages:
            recipe, chain, of_seed = next((model for model in stages if model[1] == start[1]), stages[1])
            yield (
                f"{candidate.title} is fine-tuned from {chain!r} by the recipe {recipe!r} with seed {of_seed}, and not from "
                f"the start, {start[1]!r} by {start[0]!r} with seed {seed}; 'parent: {start[0]}' in its recipe says whose "
                "models it goes on from"
            )
            return


def _candidate(block: Mapping[str, Any], arm: str, item: Mapping[str, str]) -> Candidate:
    named = f"{item['chain']}, {item['recipe']}" if "recipe" in item else item["chain"]
    label = item.get("label", named if len(block["arms"][arm]) > 1 else "")
    return Candidate(arm, label, item.get("recipe", block["recipe"]), item["chain"])


KIND = Kind(
    keys=Keeping,
    answer="keeping",
    scores=keeping_requests,
    problems=_problems,
    chains=_chains,
    tuning=keeping_requests,
    settings=_settings,
    knows_seeds=True,
)
