"""Figures that do not come from a table: what selectors choose, the features, and segmentations of several models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from frugalseg.study.keys import Keys, key, number, some, whole
from frugalseg.study.lineage import Model, Score, trained_as
from frugalseg.study.messages import KeyPath, nearest
from frugalseg.study.metric_keys import Metric


class Choices(Keys):
    """What selectors choose."""

    dataset: str = key("Dataset whose training patches are shown.")
    selectors: some(str) = key("Selectors whose choices are shown.")
    rate: number(gt=0, le=100) = key("Percent of the patches that they choose.")
    seed: whole(ge=0) = key("Seed of selectors that draw lots.", 0)


class Changed(Keys):
    """Show the images whose metric changed most between two of the chains, the one that fell most first, then the one that
    rose most, and so on; without, images evenly spaced in the test set."""

    before: str = key("The chain before, one of those shown.", alias="from")
    after: str = key("The chain after, one of those shown.", alias="to")
    metric: Metric = key("What changed; it is written below every prediction.", "pq")


class Segmentations(Keys):
    """Outlines of the truth and of several models over test images."""

    chains: some(str) = key("Models to show.")
    tests: some(str) = key("Datasets whose test images they segment.")
    recipe: str = key("How the models are trained.")
    seed: whole(ge=0) = key("Seed of the models.", 0)
    images: whole(ge=1) = key("Images of each test set.", 2)
    changed: Changed | None = key("Show the images whose metric changed most between two of the chains.", None)


class Figures(Keys):
    """Figures that do not come from a table."""

    patches: Choices | None = key("What selectors choose, side by side.", None)
    features: Choices | None = key(
        "t-SNE of the features: bins of the first selector coloured, the picks of all of them marked.", None
    )
    segmentations: Segmentations | None = key("Outlines of the truth and of several models over test images.", None)


def segmented_models(study: Mapping[str, Any]) -> list[Model]:
    """The models whose segmentations are shown, under the recipes that make them."""
    block = study["figures"].get("segmentations", {"chains": []})
    return [trained_as((block["recipe"], chain, block["seed"]), study["recipes"]) for chain in block["chains"]]


def changed_models(study: Mapping[str, Any]) -> list[Model]:
    """The two models whose metrics choose the images of the figure of segmentations, before and after; none without."""
    block = study["figures"].get("segmentations", {})
    changed = block.get("changed", {})
    return [(block["recipe"], changed[end], block["seed"]) for end in ("from", "to") if end in changed]


def changed_scores(study: Mapping[str, Any]) -> list[Score]:
    """The scores by which the figure of segmentations chooses its images."""
    tests = study["figures"].get("segmentations", {}).get("tests", [])
    return [(model, test) for model in changed_models(study) for test in tests]


def shown_selectors(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every dataset with a selector whose choices of it a figure shows."""
    blocks = [block for block in study["figures"].values() if "selectors" in block]
    return list(dict.fromkeys((block["dataset"], selector) for block in blocks for selector in block["selectors"]))


def figure_problems(study: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """A chain before or after the change that is not among those shown."""
    block = study["figures"].get("segmentations", {})
    for end, chain in block.get("changed", {}).items():
        if end in ("from", "to") and chain not in block["chains"]:
            where = ("figures", "segmentations", "changed", end)
            yield (
                where,
                f"{'.'.join(where)} is {chain!r}, which is not among the chains shown; {nearest(chain, block['chains'])}",
            )
