"""Transfer matrices: chains through several datasets, the score on each after every stage, and what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from frugalseg.chains import Chain, parse
from frugalseg.study.keys import Seeds, Titled, key, some
from frugalseg.study.kinds.checks import scored_problems
from frugalseg.study.kinds.kind import Kind
from frugalseg.study.lineage import Model, Score, lineage
from frugalseg.study.messages import Problem
from frugalseg.study.metric_keys import Metric
from frugalseg.study.recipe import used_recipes

# Keys of a recipe that say how long and from where it trains; a network before its first step has none of them.
_OF_STEPS = {"steps", "epochs", "compute", "schedule", "keep", "parent", "parent_seed"}


class Transfer(Titled):
    """Chains through several datasets: the score on each of them after every stage, and what is forgotten."""

    kind: Literal["transfer"] = key("The score on every dataset after every stage of chains, and what is forgotten.")
    chains: some(str, unique=True) = key(
        "Chains of two stages or more, each of which learns a dataset that no earlier one has; it may replay others."
    )
    recipe: str = key("How the models are trained.")
    seeds: Seeds = key("Seeds of the chains; with three or more the intervals are of use.")
    metric: Metric = key("What is scored, from 0 to 1.", "pq")
    reference: Literal["untrained", "start"] = key(
        "What forward transfer is counted from. untrained: the first stage's network at its random start, which is evaluated "
        "too. start: the model after the first stage, which is then pre-training and none of the stages counted.",
        "untrained",
    )


def transfer_rows(block: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[list[Model]]]:
    """Models behind the rows of a matrix: chain -> for every seed, the model that stands for chance, then those after every
    stage that is counted.

    What stands for chance is the untrained network or, where ``reference`` is ``start``, the model after the first stage.
    """
    return {
        chain: [_rows((block["recipe"], chain, seed), block["reference"], recipes) for seed in block["seeds"]]
        for chain in block["chains"]
    }


def transfer_tests(block: Mapping[str, Any], chain: str) -> dict[str, int]:
    """Datasets that a chain learns, in their order -> number of the row after which each is learned; row 0 is chance."""
    stages = parse(chain).stages
    return Chain(stages[1:] if block["reference"] == "start" else stages).learned_at()


def untrained(model: Model) -> Model:
    """The network that a first stage starts from."""
    recipe, chain, seed = model
    return f"{recipe}-untrained", chain, seed


def _rows(model: Model, reference: str, recipes: Mapping[str, Mapping[str, Any]]) -> list[Model]:
    after = lineage(model, recipes)
    return after if reference == "start" else [untrained(after[0]), *after]


def transfer_requests(block: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> list[Score]:
    """Every (model, test) whose metrics a matrix is made from, each once."""
    scores = (
        (model, test)
        for chain, seeds in transfer_rows(block, recipes).items()
        for models in seeds
        for model in models
        for test in transfer_tests(block, chain)
    )
    return list(dict.fromkeys(scores))


def _recipes(block: Mapping[str, Any], recipes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Recipes that take no step, of the first stages of chains that are measured against chance."""
    found = {}
    for chain in block["chains"] if block["reference"] == "untrained" else []:
        first = lineage((block["recipe"], chain, 0), recipes)[0]
        kept = {at: value for at, value in recipes[first[0]].items() if at not in _OF_STEPS}
        found[untrained(first)[0]] = {**kept, "steps": 0, "schedule": "constant"}
    return found


def _problems(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    at, where = ("questions", name), f"questions.{name}"
    yield from scored_problems(name, block, study)
    recipe, own = study["recipes"].get(block["recipe"], {}), f"{block['recipe']}-untrained"
    if "weights" in recipe:
        text = f"{where}.recipe {block['recipe']!r} trains nothing itself; name {recipe['weights']!r}"
        yield (*at, "recipe"), text
    if block["reference"] == "untrained" and own in study["recipes"]:
        text = f"{where} calls its untrained networks {own!r}, as one of the recipes is called; rename that"
        yield (*at, "recipe"), text
    for chain in block["chains"]:
        yield from (((*at, "chains"), f"{where}.chains: {text}") for text in _chain_messages(chain, block))


def _chain_messages(chain: str, block: Mapping[str, Any]) -> Iterator[str]:
    stages = parse(chain).stages
    counted = len(stages) - (block["reference"] == "start")
    if counted < 2:
        first = ", not counting the first, which is the reference" if block["reference"] == "start" else ""
        yield f"the chain {chain!r} has {counted} stage{'' if counted == 1 else 's'}{first}; transfer needs two or more"
        return
    learning = set(transfer_tests(block, chain).values())
    for number, stage in enumerate(stages[-counted:], 1):
        if number not in learning:
            yield (
                f"the stage '{stage}' of the chain {chain!r} learns no dataset that is new to the chain, so forgetting and "
                "forward transfer are undefined for it; take it away"
            )


KIND = Kind(
    keys=Transfer,
    answer="transfer",
    scores=lambda block, study: transfer_requests(block, study["recipes"]),
    problems=_problems,
    chains=lambda block: (("chains", chain) for chain in block["chains"]),
    settings=lambda block, study: {"recipes": used_recipes([block["recipe"]], study["recipes"])},
    recipes=_recipes,
    knows_seeds=True,
)
