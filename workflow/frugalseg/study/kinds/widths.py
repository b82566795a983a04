"""Width scans: scores of untrained networks at every width, what they choose, and the proof by training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from frugalseg.study.keys import Keys, Seeds, Titled, key, number, one_of, some, whole
from frugalseg.study.kinds.kind import Kind
from frugalseg.study.lineage import Model, Score
from frugalseg.study.messages import Problem

PEERS = ("tinyunet", "unext", "cmunext")
SCORES = ("sensitivity", "naswot", "swap", "gradient_norm", "snip", "synflow", "parameter_count")


class Proof(Keys):
    """The proof. A recipe of the arch unet is trained at every cap, on the patches of the dataset."""

    recipe: str = key("Recipe with the arch unet; its caps go by the names {recipe}-cap8 and so on.")
    caps: some(whole(ge=1, le=512), unique=True) | None = key(
        "Caps to train; all that are scanned where it is not given.", None
    )
    peers: some(one_of(PEERS), least=0, unique=True) = key("Lightweight networks trained the same way.", [])
    seeds: Seeds = key("Runs of every network.", [0, 1, 2])
    margin: number(gt=0) = key("Loss of Dice against the largest cap that counts as none.", 0.01)


class PublishedScan(Keys):
    """Published values to stand beside ours, where the dataset is theirs."""

    file: str = key("CSV with the columns of config/published/kimbowa2026.csv.")
    dataset: str = key("The dataset's name in it.")


class Widths(Titled):
    """A training-free width scan of a dataset, and its proof by training."""

    kind: Literal["widths"] = key("A training-free width scan, and its proof by training.")
    dataset: str = key("Dataset whose training images are scanned; no label is read.")
    images: whole(ge=2) = key("Crops that are scanned.", 16)
    crop: whole(ge=16) = key("Side of a crop in pixels; the U-Net is planned for it.", 256)
    caps: some(whole(ge=1, le=512), least=5, unique=True) = key(
        "Most channels of any stage, one network each: the candidates, the full network first.",
        [512, 256, 128, 64, 32, 16, 8, 4, 2, 1],
    )
    seeds: Seeds = key("Initialisations of every candidate.", [0, 1, 2, 3, 4])
    scores: some(one_of(SCORES), unique=True) = key("Scores at initialisation that choose a cap.", list(SCORES))
    draws: whole(ge=100) = key("Bootstrap draws of images, and of the null.", 2000)
    training: Proof | None = key("The proof by training.", None)
    published: PublishedScan | None = key("Published values to stand beside ours.", None)


def width_recipes(block: Mapping[str, Any]) -> dict[str, str]:
    """Recipes that the proof trains, by name, each with its arch; the caps first, the widest first.

    Its recipe stands for one recipe a cap, ``{recipe}-cap8``, and one a lightweight peer, ``{recipe}-tinyunet``.
    """
    training = block.get("training")
    if training is None:
        return {}
    left_out = {f"cap{cap}" for cap in set(block["caps"]) - set(training.get("caps", block["caps"]))}
    networks = width_networks(block).items()
    return {f"{training['recipe']}-{network}": arch for network, arch in networks if network not in left_out}


def width_networks(block: Mapping[str, Any]) -> dict[str, str]:
    """Every network of a scan, scanned or trained, by the name its tables use, each with its arch."""
    peers = block["training"]["peers"] if "training" in block else []
    caps = sorted(block["caps"], reverse=True)
    return {f"cap{cap}": f"unet-cap{cap}" for cap in caps} | {peer: peer for peer in peers}


def width_models(block: Mapping[str, Any]) -> list[Model]:
    """Every (recipe, chain, seed) that the proof trains: all patches of the dataset are one stage."""
    return [(recipe, block["dataset"], seed) for recipe in width_recipes(block) for seed in block["training"]["seeds"]]


def _scores(block: Mapping[str, Any], study: Mapping[str, Any]) -> list[Score]:
    return [(model, block["dataset"]) for model in width_models(block)]


def _files(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, list[str]]:
    scans = {table: [f"<results>/widths/{name}/{table}.csv"] for table in ("scores", "networks")}
    return scans | {"published": [block["published"]["file"]] if "published" in block else []}


def _recipes(block: Mapping[str, Any], recipes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """One recipe for each cap and peer: that of the proof with another arch."""
    return {name: {**recipes[block["training"]["recipe"]], "arch": arch} for name, arch in width_recipes(block).items()}


def _problems(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    at, where, training = ("questions", name), f"questions.{name}", block.get("training")
    if training is None:
        return
    recipe = study["recipes"].get(training["recipe"])
    if recipe and recipe["arch"] != "unet":
        yield at, f"{where}.training.recipe has the arch {recipe['arch']!r}; its arch must be 'unet'"
    if recipe and recipe["crop"] != block["crop"]:
        yield (
            at,
            f"{where}.crop is {block['crop']}, but its networks are trained on crops of {recipe['crop']}, for which another "
            "U-Net is planned; make both the same",
        )
    strange = sorted(set(training.get("caps", [])) - set(block["caps"]))
    if strange:
        yield at, f"{where}.training.caps has {strange}, which are not among the caps that are scanned"


KIND = Kind(
    keys=Widths,
    answer="widths",
    scores=_scores,
    problems=_problems,
    chains=lambda block: (),
    files=_files,
    recipes=_recipes,
    rule=lambda block: "judge_widths",
    in_words=False,
)
