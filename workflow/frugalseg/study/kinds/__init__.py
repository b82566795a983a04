"""Kinds of questions: what each needs, what can be wrong with it, and who answers it.

A new kind is a module here with a `Kind`, a line in `KINDS`, a module of `frugalseg.answers` with ``answer(asked)``, and
templates in config/questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from frugalseg.study.figures import changed_scores
from frugalseg.study.kinds import claim, experiment, keeping, learning_curve, transfer, widths
from frugalseg.study.kinds.kind import Kind
from frugalseg.study.lineage import Model, Score, asked_for, asked_model, trained_as
from frugalseg.study.paths import scores_in, seeds_of

KINDS: dict[str, Kind] = {
    "experiment": experiment.KIND,
    "widths": widths.KIND,
    "learning_curve": learning_curve.KIND,
    "keeping": keeping.KIND,
    "transfer": transfer.KIND,
    "claim": claim.KIND,
}
VERDICTS = "verdicts"
"""Name of the one answer to all claims of a study."""
# What a reader asks first, and answers that the first page opens with at most.
_FIRST, _MOST_LEADING = ("learning_curve", "keeping", "claim"), 3


def of_kind(study: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The questions of one kind, by name."""
    return {name: block for name, block in study["questions"].items() if block["kind"] == kind}


def asked_of(study: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every answer of a completed study by name, with the question that it answers; all claims are one, which comes last."""
    claims = of_kind(study, "claim")
    others = {name: block for kind in KINDS if kind != "claim" for name, block in of_kind(study, kind).items()}
    return others | ({VERDICTS: claim.together(claims)} if claims else {})


def rule_of(block: Mapping[str, Any]) -> str:
    """Name of the rule that writes the answer to a question."""
    return KINDS[block["kind"]].rule(block)


def inputs_of(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, list[str]]:
    """The files that a question is answered from: ``metrics``, ``tuning``, and what else its kind needs."""
    scores = {"metrics": scores_of(block, study), "tuning": tuning_of(block, study)}
    found = {kind: scores_in(kind, named) for kind, named in scores.items()}
    if KINDS[block["kind"]].knows_seeds:
        found["seed_variance"] = [seeds_of(test) for test in dict.fromkeys(test for _, test in scores["metrics"])]
    return found | KINDS[block["kind"]].files(name, block, study)


def asked(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    """All that a question is answered by beside files, for `frugalseg.answers.answer.Asked`."""
    kind = KINDS[block["kind"]]
    return {
        "by": kind.answer,
        "title": block["title"],
        "caption": block["caption"],
        "block": block.get("claims", block),
        "metrics": scores_of(block, study),
        "tuning": tuning_of(block, study),
        "settings": kind.settings(block, study),
    }


def leading(study: Mapping[str, Any]) -> list[str]:
    """The answers that the first page opens with: those of the key ``answers``, or what a reader asks first.

    That is the first learning curve, the first comparison of ways to keep the old, and the verdicts; where one of them is
    missing, the next of the others.
    """
    if "answers" in study:
        return list(study["answers"])
    names = in_words(study)
    first = [next((name for name, kind in names.items() if kind == wanted), None) for wanted in _FIRST]
    wanted = [name for name in first if name]
    return [*wanted, *(name for name in names if name not in wanted)][:_MOST_LEADING]


def in_words(study: Mapping[str, Any]) -> dict[str, str]:
    """Answers that have sentences, each with its kind."""
    return {name: block["kind"] for name, block in asked_of(study).items() if KINDS[block["kind"]].in_words}


def scores_of(block: Mapping[str, Any], study: Mapping[str, Any]) -> list[Score]:
    """Every model with a dataset whose test images it is scored on, as a question needs it, each once."""
    return list(dict.fromkeys(KINDS[block["kind"]].scores(block, study)))


def tuning_of(block: Mapping[str, Any], study: Mapping[str, Any]) -> list[Score]:
    """As `scores_of`, on the training images that are kept aside."""
    return list(dict.fromkeys(KINDS[block["kind"]].tuning(block, study)))


def scored_on(study: Mapping[str, Any]) -> dict[Model, list[str]]:
    """Every model that questions and figures have scored, with the datasets whose test images they have it scored on."""
    scores = [score for block in asked_of(study).values() for score in scores_of(block, study)]
    return _by_model([*scores, *changed_scores(study)])


def tuned_on(study: Mapping[str, Any]) -> dict[Model, list[str]]:
    """The same of training images that are kept aside."""
    return _by_model(score for block in asked_of(study).values() for score in tuning_of(block, study))


def replicated_on(test: str, study: Mapping[str, Any]) -> dict[tuple[str, str], list[Model]]:
    """(recipe, chain) -> the models of it that are scored on a test set, where their seeds are several.

    Networks of width scans, which know their own seeds, are left out.
    """
    blocks = [block for block in asked_of(study).values() if block["kind"] != "widths"]
    found: dict[tuple[str, str], dict[Model, None]] = {}
    for model, dataset in (score for block in blocks for score in scores_of(block, study)):
        if dataset == test:
            found.setdefault(model[:2], {})[model] = None
    return {key: sorted(models) for key, models in found.items() if len(models) > 1}


def _by_model(scores: Iterable[Score]) -> dict[Model, list[str]]:
    found: dict[Model, dict[str, None]] = {}
    for model, dataset in scores:
        found.setdefault(model, {})[dataset] = None
    return {model: list(datasets) for model, datasets in found.items()}


def models_of(block: Mapping[str, Any], study: Mapping[str, Any]) -> list[Model]:
    """Every model that a question needs, each once."""
    return list(dict.fromkeys(model for model, _ in scores_of(block, study)))


def tuning_datasets(study: Mapping[str, Any]) -> list[str]:
    """Datasets of which training images are kept aside, because a question chooses by them."""
    scores = (score for block in study["questions"].values() for score in tuning_of(block, study))
    return list(dict.fromkeys(dataset for _, dataset in scores))


def study_models(study: Mapping[str, Any]) -> list[Model]:
    """Every model that the answers of a study need, each once, under the recipe that makes it.

    Models that selectors ask come last; those that are only fine-tuned further are not listed.
    """
    named = [model for block in asked_of(study).values() for model in models_of(block, study)]
    shown = [selector for block in study["figures"].values() for selector in block.get("selectors", [])]
    asking = [study["selectors"][name] for name in shown]
    named += [asked_model(selector) for selector in asking if "chain" in selector]
    found = dict.fromkeys(trained_as(model, study["recipes"]) for model in named)
    waiting = list(found)
    while waiting:
        new = [model for model in asked_for(waiting.pop(), study) if model not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return list(found)


def made_recipes(study: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Recipes that questions make from those of a study, by name: another network each, or one before its first step."""
    found: dict[str, dict[str, Any]] = {}
    for block in study["questions"].values():
        found |= KINDS[block["kind"]].recipes(block, study["recipes"])
    return found
