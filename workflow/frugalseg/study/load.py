"""The config of a study: layered, checked against its schema and against itself, completed with defaults.

Every problem is found before a rule is looked at, and told with the file it stands in, the culprit, and the nearest
name that would have been right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from frugalseg.chains import IMAGE_SELECTORS, Chain, ChainError, parse
from frugalseg.data.downloads.description import below_data_root, needed
from frugalseg.study.answers import answer_names
from frugalseg.study.arms import candidates_of, start_of
from frugalseg.study.claim_checks import claim_problems
from frugalseg.study.experiment_checks import experiment_problems
from frugalseg.study.experiments import curve_chains, expand, width_recipes
from frugalseg.study.keeping_checks import keeping_problems
from frugalseg.study.lineage import selectors_of
from frugalseg.study.names import nearest
from frugalseg.study.questions import QuestionError, written_out
from frugalseg.study.recipe_checks import recipe_problems
from frugalseg.study.recipes import RecipeError, named_recipes, resolve, with_shared
from frugalseg.study.selection_jobs import chance_problems
from frugalseg.study.selector_checks import selector_problems
from frugalseg.study.transfer_checks import transfer_problems
from frugalseg.study.transfers import untrained_recipes

KeyPath = tuple[str | int, ...]

# Kind of question -> the section of the completed config that its blocks stand in, and their definition in the schema.
_SECTIONS = {
    "experiment": "experiments",
    "learning_curve": "learning_curves",
    "keeping": "keeping",
    "transfer": "transfers",
    "claim": "claims",
    "widths": "widths",
}
# Methods of selection that need nothing said about them: each is there under its own name.
_SELECTORS = ("dq", "few", "herding", "kcenter", "random", "typicality")


class ConfigError(ValueError):
    """Everything that is wrong with a config, one line a problem."""


def complete(config: Mapping[str, Any], root: Path, files: Sequence[Path] = ()) -> dict[str, Any]:
    """Check a study's config and fill in what it leaves to defaults.

    Parameters
    ----------
    config : mapping
        The layered config, e.g. ``config/studies/real.yaml`` over ``config/config.yaml``. A key that a study sets
        to null is taken away, so that a study can drop an experiment of the default one.
    root : Path
        The repository: schemas lie in ``workflow/schemas``, datasets in ``config/datasets``.
    files : sequence of Path
        The files that were layered, later over earlier; messages name the one a problem stands in.

    Returns
    -------
    dict
        The config with its defaults; ``datasets`` maps each name to the whole block of its file, ``recipes`` has those
        too that the width scans train, and ``downloads`` has what the study needs to fetch (`needed` makes it).

    Raises
    ------
    ConfigError
        Listing every problem found.
    """
    schema = _load(root / "workflow/schemas/config.schema.yaml")
    given = config
    if "questions" in config:
        config = _with_shared(_with_sections(config, schema, root, files), root)
    config = _without_nulls({**config, "recipes": _recipes(config, files)})
    problems = [f"{_file_of(path, files)}{message}" for path, message in _schema_problems(config, schema)]
    if problems:
        raise ConfigError(_report(problems))
    _fill_defaults(config, schema, schema)
    for block in (config, *(scan["published"] for scan in config["widths"].values() if "published" in scan)):
        key = "published" if block is config else "file"
        if key in block:
            block[key] = _found(block[key], root)
    datasets, problems = _load_datasets(config["datasets"], root, files)
    weights, faults = _load_weights(config, root)
    problems += faults
    found = [*_cross_problems(config), *claim_problems(config, root)]
    problems += [f"{_file_of(path, files)}{message}" for path, message in found]
    if problems:
        raise ConfigError(_report(problems))
    recipes = config["recipes"] | _recipes_of_widths(config) | untrained_recipes(config)
    if "questions" in given:
        recipes = _of_study(recipes, given.get("recipes", {}), config)
        used = {*given.get("selectors", {}), *_used_selectors(config)}
        config["selectors"] = {name: block for name, block in config["selectors"].items() if name in used}
    downloads = needed(config, datasets, weights)
    return {**config, "datasets": datasets, "recipes": recipes, "downloads": downloads}


def read(study: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """A study as its file says it; one without questions still lies over ``config/base.yaml``."""
    return study if "questions" in study else layer(_load(root / "config/base.yaml"), study)


def _found(path: str, root: Path) -> str:
    """A file as it is called from the working directory or, where it is not there, in the repository."""
    return str(root / path) if not Path(path).exists() and (root / path).exists() else path


def layer(base: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a study's keys over those of another config, mappings key by key, as Snakemake does with config files."""
    merged = dict(base)
    for key, value in study.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = layer(merged[key], value) if both else value
    return merged


def chains_of(config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Every chain a completed or raw config names, with the path of keys it stands at.

    Raises
    ------
    ValueError, ChainError
        When a pattern lacks a list or a chain does not parse; the error has an attribute ``path``.
    """
    for name, experiment in config["experiments"].items():
        path: KeyPath = ("experiments", name, "chains")
        try:
            entries = expand(experiment)
        except ValueError as error:
            error.path = path  # type: ignore[attr-defined]
            raise
        yield from ((path, entry.chain) for entry in entries)
    for name, block in config.get("learning_curves", {}).items():
        yield from ((("learning_curves", name, "numbers"), chain) for chain in curve_chains(block))
    for name, block in config.get("keeping", {}).items():
        yield ("keeping", name, "start"), start_of(block).chain
        yield from ((("keeping", name, "arms", way.arm), way.chain) for way in candidates_of(block))
    for name, block in config.get("transfers", {}).items():
        yield from ((("transfers", name, "chains"), chain) for chain in block["chains"])
    asking = {name: block for name, block in config["selectors"].items() if "chain" in block}
    yield from ((("selectors", name, "chain"), block["chain"]) for name, block in asking.items())
    segmentations = config.get("figures", {}).get("segmentations", {})
    yield from ((("figures", "segmentations", "chains"), chain) for chain in segmentations.get("chains", []))
    for name, claim in config.get("claims", {}).items():
        yield from ((("claims", name, "chains"), chain) for chain in claim["chains"].values())


def _report(problems: Sequence[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"the config has {count}:\n" + "\n".join(f"  - {problem}" for problem in problems)


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _file_of(path: KeyPath, files: Sequence[Path]) -> str:
    """The last layered file in which the longest part of a path of keys stands, as a prefix of a message."""
    best, depth = None, -1
    if path and path[0] in _SECTIONS.values() and any("questions" in (_load(Path(file)) or {}) for file in files):
        path = ("questions", *path[1:])
    for file in files:
        value, reached = _load(Path(file)), 0
        for key in path:
            if isinstance(value, Mapping) and key in value:
                value, reached = value[key], reached + 1
            else:
                break
        if reached >= depth:
            best, depth = file, reached
    return f"{best}: " if best is not None else ""


def _dotted(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path)) or "the top level"


def _schema_problems(config: Any, schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    errors = sorted(
        Draft202012Validator(schema).iter_errors(config), key=lambda error: [str(key) for key in error.absolute_path]
    )
    for error in errors:
        yield from _explain(error)


def _explain(error: ValidationError) -> Iterator[tuple[KeyPath, str]]:
    path = tuple(error.absolute_path)
    where = _dotted(path)
    if error.validator == "additionalProperties" and isinstance(error.schema.get("properties"), dict):
        known = error.schema["properties"]
        for key in error.instance:
            if key not in known:
                yield (*path, key), f"unknown key {key!r} in {where}; {nearest(str(key), known)}"
    elif error.validator == "enum":
        yield path, f"{where} is {error.instance!r}; {nearest(str(error.instance), map(str, error.validator_value))}"
    elif error.validator == "required":
        # One error a missing key; its name is in the message alone.
        missing = error.message.split("'")[1]
        yield path, f"{where} lacks the key {missing!r}"
    elif error.validator == "pattern" and "description" in error.schema:
        yield path, f"{where} is {error.instance!r}; {error.schema['description'].rstrip('.')}"
    elif error.validator is None:
        yield path, f"{where} is {error.instance!r}, but does not go with the keys beside it; take it away"
    elif error.validator == "oneOf" and all("required" in option for option in error.validator_value):
        options = " or ".join(repr(option["required"][0]) for option in error.validator_value)
        yield path, f"{where} needs {options}, and only one of them"
    elif error.validator == "oneOf" and error.context and {inner.validator for inner in error.context} == {"enum"}:
        known = [str(value) for inner in error.context for value in inner.validator_value]
        yield path, f"{where} is {error.instance!r}; {nearest(str(error.instance), known)}"
    elif error.validator == "oneOf" and error.context:
        deepest = max(error.context, key=lambda inner: len(inner.absolute_path) + (inner.validator != "type"))
        yield from _explain(deepest)
    else:
        yield path, f"{where} is {error.instance!r}: {error.message}"


def _fill_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Put the defaults of a schema into a value that it has accepted, and its keys into the schema's order, in place.

    Snakemake compares parameters as they are written: keys in another order would look like another recipe to it.
    """
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if not isinstance(value, dict):
        return
    for key, inner in schema.get("properties", {}).items():
        if key not in value and "default" in inner:
            value[key] = _copy(inner["default"])
        if key in value:
            _fill_defaults(value[key], inner, root)
    known = [key for key in schema.get("properties", {}) if key in value]
    ordered = {key: value[key] for key in [*known, *(key for key in value if key not in known)]}
    value.clear()
    value.update(ordered)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for item in value.values():
            _fill_defaults(item, others, root)


def _copy(value: Any) -> Any:
    return type(value)(value) if isinstance(value, dict | list) else value


def _load_datasets(names: Mapping[str, str], root: Path, files: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """Read the file of each dataset and check it against its own schema."""
    schema = _load(root / "workflow/schemas/dataset.schema.yaml")
    folder = root / "config/datasets"
    known = [path.stem for path in folder.glob("*.yaml")]
    blocks, problems = {}, []
    for name, stem in names.items():
        if stem not in known:
            where = _file_of(("datasets", name), files)
            missing = f"there is no config/datasets/{stem}.yaml; {nearest(stem, known)}"
            problems.append(f"{where}unknown dataset {stem!r} for {name!r}: {missing}")
            continue
        block = _without_nulls(_load(folder / f"{stem}.yaml"))
        faults = list(_schema_problems(block, schema))
        problems += [f"config/datasets/{stem}.yaml: {message}" for _, message in faults]
        if not faults and block["source"] == "weights":
            where = _file_of(("datasets", name), files)
            problems.append(
                f"{where}config/datasets/{stem}.yaml has weights and no images; it cannot be the dataset {name!r}"
            )
        elif not faults:
            _fill_defaults(block, schema, schema)
            blocks[name] = block
    return blocks, problems


def _load_weights(config: dict[str, Any], root: Path) -> tuple[dict[str, Any], list[str]]:
    """The files of config/datasets whose downloads make the checkpoint of the features; its folder is completed."""
    if "checkpoint" not in config["features"]:
        return {}, []
    folder = config["features"]["checkpoint"] = below_data_root(config["features"]["checkpoint"], config)
    schema = _load(root / "workflow/schemas/dataset.schema.yaml")
    blocks, problems = {}, []
    for path in sorted((root / "config/datasets").glob("*.yaml")):
        # Most files are no weights; a look at the line saves parsing them, and their faults are not of this study.
        if "source: weights" not in path.read_text(encoding="utf-8"):
            continue
        block = _load(path)
        faults = list(_schema_problems(block, schema))
        problems += [f"config/datasets/{path.name}: {message}" for _, message in faults]
        if not faults and Path(below_data_root(block["root"], config)) == Path(folder):
            blocks[path.stem] = block
    return blocks, problems


def _cross_problems(config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Names that one part of the config uses and another does not define."""
    yield from _chain_problems(config)
    for section in ("experiments", "claims"):
        for name, block in config[section].items():
            yield from _name_problems((section, name), block, config)
    for name, experiment in config["experiments"].items():
        for key, message in experiment_problems(name, experiment):
            yield ("experiments", name, key), message
    for name, message in chance_problems(config):
        yield ("experiments", name, "chains"), message
    for name, block in config["figures"].items():
        yield from _name_problems(("figures", name), block, config)
    for name in config.get("answers", []):
        if name not in answer_names(config):
            yield ("answers",), f"answers names {name!r}, which nothing answers; {nearest(name, answer_names(config))}"
    yield from _changed_problems(config["figures"].get("segmentations", {}))
    for name, block in config["widths"].items():
        yield from _widths_problems(name, block, config)
    for name, block in config["learning_curves"].items():
        yield from _curve_problems(name, block, config)
    for name, block in config["keeping"].items():
        yield from _keeping_problems(name, block, config)
    for name, block in config["transfers"].items():
        yield from _name_problems(("transfers", name), block, config)
        for key, message in transfer_problems(name, block, config):
            yield ("transfers", name, key), message
    for name in config["recipes"]:
        for key, message in recipe_problems(name, config["recipes"], nearest):
            yield ("recipes", name, key), message
    for name in config["selectors"]:
        for key, message in selector_problems(name, config, nearest):
            yield ("selectors", name, key), message


def _changed_problems(block: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    changed, where = block.get("changed", {}), ("figures", "segmentations", "changed")
    for key in ("from", "to"):
        if key in changed and changed[key] not in block["chains"]:
            yield (
                (*where, key),
                f"{_dotted(where)}.{key} is {changed[key]!r}, which is not among the chains shown; "
                f"{nearest(changed[key], block['chains'])}",
            )


def _widths_problems(name: str, block: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    path = ("widths", name)
    yield from _name_problems(path, block, config)
    if name in config["experiments"]:
        yield path, f"widths.{name}: there is an experiment of this name; choose another"
    if "training" not in block:
        return
    training = block["training"]
    yield from _name_problems((*path, "training"), training, config)
    recipe = config["recipes"].get(training["recipe"])
    if recipe and recipe["arch"] != "unet":
        yield path, f"widths.{name}.training.recipe has the arch {recipe['arch']!r}; its arch must be 'unet'"
    if recipe and recipe["crop"] != block["crop"]:
        yield (
            path,
            f"widths.{name}.crop is {block['crop']}, but its networks are trained on crops of {recipe['crop']}, for which "
            "another U-Net is planned; make both the same",
        )
    strange = sorted(set(training.get("caps", [])) - set(block["caps"]))
    if strange:
        yield path, f"widths.{name}.training.caps has {strange}, which are not among the caps that are scanned"


def _curve_problems(name: str, block: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    path, where = ("learning_curves", name), f"learning_curves.{name}"
    yield from _name_problems(path, block, config)
    for section in ("experiments", "widths"):
        if name in config[section]:
            yield path, f"{where}: there is a block of this name in {section}; choose another"
    if block["metric"] == "hd95":
        yield (*path, "metric"), f"{where}.metric is 'hd95'; choose a score from 0 to 1, of which larger is better"
    if config["recipes"].get(block["recipe"], {}).get("target") == "foreground":
        yield (*path, "recipe"), f"{where}.recipe {block['recipe']!r} learns foreground; choose one that finds cells"
    if block["selector"] not in IMAGE_SELECTORS and max(block["numbers"]) >= 100:
        yield (
            (*path, "numbers"),
            f"{where}.numbers has {max(block['numbers'])}; all of the dataset is there anyhow: take it away",
        )


def _keeping_problems(name: str, block: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for section in ("experiments", "widths", "learning_curves"):
        if name in config[section]:
            yield ("keeping", name), f"keeping.{name}: there is a block of this name in {section}; choose another"
    for keys, message in keeping_problems(name, block, config, nearest):
        yield ("keeping", name, *keys), message


def _with_sections(
    config: Mapping[str, Any], schema: Mapping[str, Any], root: Path, files: Sequence[Path]
) -> dict[str, Any]:
    """A study with a section for each kind of its questions, all of them written out."""
    definitions = {
        kind: schema["properties"][section]["additionalProperties"]["$ref"] for kind, section in _SECTIONS.items()
    }
    keys = {kind: schema["$defs"][name.rsplit("/", 1)[1]]["properties"] for kind, name in definitions.items()}
    keys["claim"] = {"effect" if key == "kind" else key: value for key, value in keys["claim"].items()}
    try:
        blocks = written_out(config["questions"], keys, root)
    except QuestionError as error:
        raise ConfigError(_report([f"{_file_of(error.path, files)}{error}"])) from None
    sections: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS.values()}
    for name, block in blocks.items():
        kind, block = block["kind"], {key: value for key, value in block.items() if key != "kind"}
        if kind == "claim":
            block = {"kind" if key == "effect" else key: value for key, value in block.items()}
        sections[_SECTIONS[kind]][name] = block
    return {key: value for key, value in config.items() if key != "questions"} | sections


def _with_shared(config: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """A study with the recipes that studies share and the selectors that need nothing said about them."""
    path = root / "config/recipes.yaml"
    recipes = with_shared(config.get("recipes", {}), _load(path) if path.exists() else {})
    selectors = {name: {"method": name} for name in _SELECTORS if name not in config.get("selectors", {})}
    return {**config, "recipes": recipes, "selectors": {**selectors, **config.get("selectors", {})}}


def _used_selectors(config: Mapping[str, Any]) -> set[str]:
    shown = [name for block in config["figures"].values() for name in block.get("selectors", [])]
    return {*shown, *(name for _, chain in chains_of(config) for name in selectors_of(chain))}


def _of_study(recipes: Mapping[str, Any], own: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The recipes that a study has of its own or uses: not all of those that studies share."""
    blocks = [config[section] for section in (*_SECTIONS.values(), "figures", "selectors")]
    wanted = [*own, *named_recipes(blocks), *_recipes_of_widths(config), *untrained_recipes(config)]
    found: dict[str, None] = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = None
            recipe = recipes[name]
            wanted += [recipe[key] for key in ("parent", "weights") if key in recipe]
            wanted += named_recipes([recipe.get("interpolate", {})])
    return {name: recipe for name, recipe in recipes.items() if name in found}


def _recipes(config: Mapping[str, Any], files: Sequence[Path]) -> Any:
    """All recipes, those that are like others written out."""
    recipes = config.get("recipes")
    if not isinstance(recipes, Mapping):
        return recipes
    try:
        return resolve(recipes)
    except RecipeError as error:
        known = [name for name, recipe in recipes.items() if recipe is not None and name != error.recipe]
        wrong = "recipes cannot be like each other" if error.other in recipes else nearest(error.other, known)
        where = _file_of(("recipes", error.recipe, error.key.partition(".")[0]), files)
        raise ConfigError(_report([f"{where}{error}; {wrong}"])) from None


def _recipes_of_widths(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """One recipe for each cap and peer that a width scan trains: that of its block with another arch."""
    return {
        name: {**config["recipes"][block["training"]["recipe"]], "arch": arch}
        for block in config["widths"].values()
        for name, arch in width_recipes(block).items()
    }


def _chain_problems(config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    seen: set[str] = set()
    path: KeyPath = ("experiments",)
    try:
        for path, text in chains_of(config):
            if text in seen:
                continue
            seen.add(text)
            yield from ((path, f"{_dotted(path)}: {message}") for message in _unknown_in_chain(parse(text), config))
    except (ValueError, ChainError) as error:
        # A pattern that does not become a chain says where it stands; any other stands where the last path says.
        path = getattr(error, "path", path)
        yield path, f"{_dotted(path)}: {error}"


def _unknown_in_chain(chain: Chain, config: Mapping[str, Any]) -> Iterator[str]:
    for stage in chain.stages:
        for source in stage.sources:
            if source.dataset not in config["datasets"]:
                yield f"chain '{chain}' names the unknown dataset {source.dataset!r}; {nearest(source.dataset, config['datasets'])}"
            if source.subset and source.subset.selector not in config["selectors"]:
                selector = source.subset.selector
                yield f"chain '{chain}' names the unknown selector {selector!r}; {nearest(selector, config['selectors'])}"


def _name_problems(path: KeyPath, block: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Recipes, test sets, datasets and selectors that a block names and the config does not have."""
    items = (
        [item for item in block["chains"] if isinstance(item, Mapping)] if isinstance(block.get("chains"), list) else []
    )
    named = {
        "recipe": ([block["recipe"]] if "recipe" in block else [])
        + [item["recipe"] for item in items if "recipe" in item],
        "test": [block[key] for key in ("test", "other_test") if key in block] + list(block.get("tests", [])),
        "dataset": [block["dataset"]] if "dataset" in block else [],
        "selector": list(block.get("selectors", [])) + ([block["selector"]] if "selector" in block else []),
    }
    known = {
        "recipe": config["recipes"],
        "test": config["datasets"],
        "dataset": config["datasets"],
        "selector": config["selectors"],
    }
    for kind, names in named.items():
        for name in names:
            if name not in known[kind]:
                yield path, f"{_dotted(path)} names the unknown {kind} {name!r}; {nearest(name, known[kind])}"
