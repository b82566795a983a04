"""Where the files of a study lie, below its folder of results, ``<results>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.chains import SEEDED_METHODS, parse
from frugalseg.study.lineage import Model, Score


def folder_of(kind: str, model: Model) -> str:
    """Folder of a model's files of a kind: ``models``, ``metrics``, ``tuning``."""
    recipe, chain, seed = model
    return f"<results>/{kind}/{recipe}/{chain}/seed{seed}"


def weights_of(model: Model) -> str:
    """The checkpoint of a model."""
    return f"{folder_of('models', model)}/model.pt"


def scores_in(kind: str, scores: list[Score]) -> list[str]:
    """The files of scores on test images (``metrics``) or on training images that are kept aside (``tuning``)."""
    return [f"{folder_of(kind, model)}/{dataset}.csv" for model, dataset in scores]


def seeds_of(test: str) -> str:
    """What the replicated models of a study say of seeds, on a test set."""
    return f"<results>/seed_variance/{test}.csv"


def coreset_of(dataset: str, selector: str, seed: int | str, selectors: Mapping[str, Any]) -> str:
    """The order in which a selector takes the patches of a dataset."""
    seeded = f"-seed{seed}" if selectors[selector]["method"] in SEEDED_METHODS else ""
    return f"<results>/coresets/{dataset}/{selector}{seeded}.npz"


def coresets_of(chain: str, seed: int | str, selectors: Mapping[str, Any]) -> list[str]:
    """The orders that the subsets of a chain's last stage are taken from."""
    subsets = ((source.dataset, source.subset) for source in parse(chain).sources if source.subset)
    return [coreset_of(dataset, subset.selector, seed, selectors) for dataset, subset in subsets]


def patches_of(chain: str, split: str) -> list[str]:
    """The tables of the patches of a chain's last stage."""
    return [f"<results>/patches/{source.dataset}/{split}/patches.csv" for source in parse(chain).sources]
