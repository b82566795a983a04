"""A study, loaded: its questions filled in, checked against its classes and against itself, completed with defaults.

Every problem is found before a rule is looked at, and told with the file it stands in, the culprit, and the nearest
name that would have been right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalseg.chains import Chain, ChainError, parse
from frugalseg.study import recipe, selector
from frugalseg.study.dataset import load_datasets, load_weights, needed
from frugalseg.study.figures import figure_problems, shown_selectors
from frugalseg.study.kinds import KINDS, VERDICTS, in_words, made_recipes
from frugalseg.study.lineage import selectors_of
from frugalseg.study.messages import (
    ConfigError,
    KeyPath,
    Problem,
    dotted,
    nearest,
    read_yaml,
    shape_problems,
    with_files,
)
from frugalseg.study.questions import QuestionError, written_out
from frugalseg.study.recipe import RecipeError, named_recipes, recipe_problems, resolve, used_recipes, with_shared
from frugalseg.study.study import Study

RECIPES = Path("config/recipes.yaml")
"""Recipes that studies share, below the repository."""
TABLES = ("patches", "methods", "costs", "versions")
"""Tables that every study has; no question may take their names, nor those of figures and rules."""
_RULE = re.compile(r"^\s*(?:rule|checkpoint) (\w+):|^\s*use rule \w+ as (\w+)", re.MULTILINE)


def complete(study: Mapping[str, Any], root: Path, files: Sequence[Path] = ()) -> dict[str, Any]:
    """Check a study and fill in what it leaves to templates and defaults.

    Parameters
    ----------
    study : mapping
        As its file says it.
    root : Path
        The repository, in whose ``config`` questions, datasets and shared recipes lie.
    files : sequence of Path
        The files that it was read from, later over earlier; messages name the one a problem stands in.

    Returns
    -------
    dict
        The study with its defaults: ``questions`` are written out, ``datasets`` maps each name to the whole block of its
        file, ``recipes`` has those that the study uses, and those that its questions make, and ``downloads`` has what it
        needs to fetch.

    Raises
    ------
    ConfigError
        Listing every problem found.
    """
    raw = _filled_in(study, root, files)
    completed = _shaped(raw, files)
    for block, at in [(completed, "published"), *((scan, "file") for scan in _published_scans(completed))]:
        if at in block:
            block[at] = _found(block[at], root)
    datasets, problems = load_datasets(completed["datasets"], root, files)
    weights = {}
    if "checkpoint" in completed["features"]:
        folder = completed["features"]["checkpoint"].replace("{data_root}", completed["data_root"])
        completed["features"]["checkpoint"] = folder
        weights, faults = load_weights(folder, completed["data_root"], root)
        problems += faults
    problems += _with_files(_problems(completed, root), study, files, root)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    completed["recipes"] = _recipes_of(completed, study.get("recipes", {}))
    used = {*study.get("selectors", {}), *(name for name in _used_selectors(completed))}
    completed["selectors"] = {name: block for name, block in completed["selectors"].items() if name in used}
    downloads = needed(completed, datasets, weights)
    return {**completed, "datasets": datasets, "downloads": downloads}


def chains_of(study: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Every chain that a study names, with the path of keys it stands at.

    A ValueError or ChainError says which pattern becomes no chain; its attribute ``path`` where it stands.
    """
    for name, block in study["questions"].items():
        try:
            yield from (
                (("questions", name, *at.split(".")), chain) for at, chain in KINDS[block["kind"]].chains(block)
            )
        except ValueError as error:
            error.path = ("questions", name, "chains")  # type: ignore[attr-defined]
            raise
    asking = {name: block for name, block in study["selectors"].items() if "chain" in block}
    yield from ((("selectors", name, "chain"), block["chain"]) for name, block in asking.items())
    shown = study["figures"].get("segmentations", {}).get("chains", [])
    yield from ((("figures", "segmentations", "chains"), chain) for chain in shown)


def _filled_in(study: Mapping[str, Any], root: Path, files: Sequence[Path]) -> dict[str, Any]:
    """A study with its questions written out, its recipes and those that studies share, and all selectors there are."""
    keys = {kind: [field.alias or name for name, field in of.keys.model_fields.items()] for kind, of in KINDS.items()}
    recipes = study.get("recipes", {})
    try:
        questions = written_out(study.get("questions", {}), keys, root)
        shared = read_yaml(root / RECIPES) if (root / RECIPES).exists() else {}
        if isinstance(recipes, Mapping):
            recipes = resolve(with_shared(recipes, shared))
    except QuestionError as error:
        raise ConfigError(with_files([(error.path, str(error))], files)) from None
    except RecipeError as error:
        others = [name for name in {*shared, *recipes} if name != error.recipe]
        wrong = (
            "recipes cannot be like each other" if error.other in {*shared, *recipes} else nearest(error.other, others)
        )
        path = ("recipes", error.recipe, error.key.partition(".")[0])
        raise ConfigError(_with_files([(path, f"{error}; {wrong}")], study, files, root)) from None
    selectors = study.get("selectors", {})
    if isinstance(selectors, Mapping):
        selectors = {**selector.by_themselves(), **selectors}
    return {**study, "questions": questions, "recipes": recipes, "selectors": selectors}


def _shaped(raw: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """A study as its classes complete it."""
    completed, problems = shape_problems(Study, raw)
    for section, shape in (("selectors", selector.completed), ("recipes", recipe.completed), ("questions", _question)):
        blocks = raw[section] if isinstance(raw[section], Mapping) else {}
        for name, block in blocks.items():
            shaped, faults = shape(name, block) if isinstance(block, Mapping) else (None, [])
            problems += faults
            if completed is not None and shaped is not None:
                completed[section][name] = shaped
    if problems:
        raise ConfigError(with_files(problems, files))
    return completed


def _question(name: str, block: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[Problem]]:
    return shape_problems(KINDS[block["kind"]].keys, block, ("questions", name))


def _with_files(problems: Iterable[Problem], study: Mapping[str, Any], files: Sequence[Path], root: Path) -> list[str]:
    """Messages with their files; what is wrong with a shared recipe stands in the file of those."""
    found = []
    for path, message in problems:
        shared = path[0] == "recipes" and path[1] not in study.get("recipes", {})
        found += [f"{RECIPES}: {message}"] if shared else with_files([(path, message)], files)
    return found


def _published_scans(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        block["published"]
        for block in study["questions"].values()
        if block["kind"] == "widths" and "published" in block
    ]


def _found(path: str, root: Path) -> str:
    """A file as it is called from the working directory or, where it is not there, in the repository."""
    return str(root / path) if not Path(path).exists() and (root / path).exists() else path


def _problems(study: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Names that one part of a study uses and another does not define, and what else does not go together."""
    chains = list(_chain_problems(study))
    yield from chains
    yield from _reserved_names(study, root)
    for name, block in study["questions"].items():
        yield from _name_problems(("questions", name), block, study)
        if "training" in block:
            yield from _name_problems(("questions", name, "training"), block["training"], study)
        # The other checks take every chain for one that parses.
        if not chains:
            yield from KINDS[block["kind"]].problems(name, block, study)
    for name, block in study["figures"].items():
        yield from _name_problems(("figures", name), block, study)
    yield from figure_problems(study)
    answers = in_words(study)
    unknown = [name for name in study.get("answers", []) if name not in answers]
    yield from (
        (("answers",), f"answers names {name!r}, which nothing answers; {nearest(name, answers)}") for name in unknown
    )
    for name in study["recipes"]:
        yield from recipe_problems(name, study["recipes"])
    for name in study["selectors"]:
        yield from selector.selector_problems(name, study)


def _reserved_names(study: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Questions that go by the name of a table, figure or rule that is there anyhow."""
    sources = [root / "Snakefile", *sorted((root / "workflow/rules").glob("*.smk"))]
    rules = {name for path in sources if path.exists() for match in _RULE.findall(path.read_text()) for name in match}
    taken = dict.fromkeys(rules, "a rule") | dict.fromkeys(
        (*Study.model_fields["figures"].annotation.model_fields,), "a figure"
    )
    taken |= dict.fromkeys(TABLES, "a table") | {VERDICTS: "the table of claims"}
    for name in study["questions"]:
        if name in taken:
            yield ("questions", name), f"questions.{name}: this is the name of {taken[name]}; choose another"


def _chain_problems(study: Mapping[str, Any]) -> Iterator[Problem]:
    seen: set[str] = set()
    path: KeyPath = ("questions",)
    try:
        for path, text in chains_of(study):
            if text not in seen:
                seen.add(text)
                yield from ((path, f"{dotted(path)}: {message}") for message in _unknown_in_chain(parse(text), study))
    except (ValueError, ChainError) as error:
        # A pattern that does not become a chain says where it stands; any other stands where the last path says.
        path = getattr(error, "path", path)
        yield path, f"{dotted(path)}: {error}"


def _unknown_in_chain(chain: Chain, study: Mapping[str, Any]) -> Iterator[str]:
    for source in (source for stage in chain.stages for source in stage.sources):
        if source.dataset not in study["datasets"]:
            known = nearest(source.dataset, study["datasets"])
            yield f"chain '{chain}' names the unknown dataset {source.dataset!r}; {known}"
        if source.subset and source.subset.selector not in study["selectors"]:
            name = source.subset.selector
            yield f"chain '{chain}' names the unknown selector {name!r}; {nearest(name, study['selectors'])}"


def _name_problems(path: KeyPath, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    """Recipes, test sets, datasets and selectors that a block names and the study does not have."""
    patterns = [item for item in block.get("chains", []) if isinstance(item, Mapping)]
    named = {
        "recipe": [item["recipe"] for item in (block, *patterns) if "recipe" in item],
        "test": [*(block[at] for at in ("test", "other_test") if at in block), *block.get("tests", [])],
        "dataset": [block["dataset"]] if "dataset" in block else [],
        "selector": [*block.get("selectors", []), *([block["selector"]] if "selector" in block else [])],
    }
    for kind, names in named.items():
        known = study[f"{kind}s" if kind != "test" else "datasets"]
        for name in dict.fromkeys(names):
            if name not in known:
                yield path, f"{dotted(path)} names the unknown {kind} {name!r}; {nearest(name, known)}"


def _recipes_of(study: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The recipes that a study has of its own or uses, not all of those that studies share, and those that questions make."""
    made = made_recipes(study)
    named = named_recipes([study["questions"], study["figures"], study["selectors"]])
    return used_recipes([*own, *named, *made], study["recipes"] | made)


def _used_selectors(study: Mapping[str, Any]) -> set[str]:
    shown = (name for _, name in shown_selectors(study))
    return {*shown, *(name for _, chain in chains_of(study) for name in selectors_of(chain))}
