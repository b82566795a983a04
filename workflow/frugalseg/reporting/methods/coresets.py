"""Selectors and the features they compare, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from frugalseg.chains import ASKING_METHODS, SEEDED_METHODS, Source, parse
from frugalseg.reporting.formats import listing, number, plural, words_for
from frugalseg.reporting.references import References
from frugalseg.selection.typicality import CLUSTERS, NEIGHBOURS
from frugalseg.study.experiments import study_models
from frugalseg.study.lineage import asked

_GAINS = {
    "sum": "the submodular gain of {study}, eq. 1",
    "mean": "the mean-distance gain of the public code of {study}",
    "graphcut": "that gain on normalised features",
}


class Selector(NamedTuple):
    """A selector as a study uses it.

    Attributes
    ----------
    block : mapping
        Of the config.
    bins : int
        Bins of dataset quantization.
    amounts : sequence of str
        What the chains take: percent of the patches, or whole images.
    """

    block: Mapping[str, Any]
    bins: int
    amounts: Sequence[str]


def coresets(config: Mapping[str, Any], references: References) -> str:
    """The selectors that the chains of a study name, and what they compare; empty where there are none."""
    subsets = [source.subset for source in sources_of(config) if source.subset]
    if not subsets:
        return ""
    methods = {name: config["selectors"][name] for name in dict.fromkeys(subset.selector for subset in subsets)}
    sentences = []
    if any(block["method"] not in SEEDED_METHODS | ASKING_METHODS for block in methods.values()):
        sentences.append(_features(config["features"], references))
    first = next((name for name, block in methods.items() if block["method"] == "dq"), None)
    for name, block in methods.items():
        if block["method"] == "dq" and name != first:
            sentences.append(f"The selector *{name}* differs from *{first}* in using {_gain(block, references)}.")
        else:
            method = words_for(block["method"], SELECTORS, "selector")
            used = Selector(block, config["bins"], [subset.number for subset in subsets if subset.selector == name])
            sentences.append(f"The selector *{name}* {method(used, references)}.")
    if any(block["method"] != "few" for block in methods.values()):
        sentences.append(
            f"At a rate of r % every selector takes max(1, ⌊r |S| / 100⌋) patches for each of the {config['bins']} bins S "
            "into which the dataset divides evenly, so that one rate stands for one number of patches; subsets of one "
            "selector are nested."
        )
    return " ".join(sentences)


def sources_of(config: Mapping[str, Any]) -> list[Source]:
    """Every source of every stage of the chains that the tables of a study need."""
    chains = dict.fromkeys(chain for _, chain, _ in study_models(config))
    return [source for chain in chains for stage in parse(chain).stages for source in stage.sources]


def _features(features: Mapping[str, Any], references: References) -> str:
    if "checkpoint" in features:
        encoder = f"the encoder of a pre-trained vision transformer, ViT-MAE {references.cite('mae')}"
    else:
        pretraining = features["pretraining"]
        encoder = (
            f"the encoder of a small masked autoencoder {references.cite('mae')}, trained on the training patches of all "
            f"datasets for {pretraining['steps']:,} steps of {pretraining['batch']} patches with "
            f"{pretraining['mask_ratio']:.0%} of the tokens hidden".replace("%", " %")
        )
    pooled = "the mean over all tokens" if features["pooling"] == "mean" else "the class token"
    hidden = features["mask_ratio"]
    seen = "which saw the whole patch" if hidden == 0 else f"from which {hidden:.0%} of the tokens were hidden"
    seen = seen.replace("%", " %")
    return f"Patches were compared by {pooled} of the last layer of {encoder}, {seen}."


def _random(selector: Selector, references: References) -> str:
    return "drew patches at random, anew for every seed"


def _few(selector: Selector, references: References) -> str:
    counts = sorted({int(amount) for amount in selector.amounts})
    images = f"{listing(map(number, counts), before_last=' or ')} whole image{'' if counts == [1] else 's'}"
    return f"drew {images} at random, anew for every seed, and took all their patches"


def _kcenter(selector: Selector, references: References) -> str:
    return f"was greedy k-center {references.cite('kcenter')}, which takes the patch farthest from all patches taken before"


def _herding(selector: Selector, references: References) -> str:
    papers = "; ".join(references.cite(paper).strip("()") for paper in ("herding", "icarl"))
    return f"was herding ({papers}), which keeps the mean feature of the patches taken closest to that of all"


def _typicality(selector: Selector, references: References) -> str:
    clusters = plural(selector.block.get("clusters", CLUSTERS), "cluster")
    return (
        f"was typicality {references.cite('typicality')}, which takes of {clusters} of k-means in turn the patch that is "
        f"nearest to its {NEIGHBOURS} nearest neighbours there, on average"
    )


def _uncertainty(selector: Selector, references: References) -> str:
    recipe, chain, seed = asked(selector.block)
    return (
        f"was uncertainty sampling ({references.cite('uncertainty').strip('()')}): the patches first of whose pixels the model "
        f"*{chain}* (recipe *{recipe}*, seed {seed}) is least certain whether they belong to a cell, by the entropy of its "
        f"probability, averaged over the patch"
    )


def _dq(selector: Selector, references: References) -> str:
    within = "in the order of selection" if selector.block.get("sample", "head") == "head" else "in random order"
    return (
        f"was dataset quantization {references.cite('quantization')} with {_gain(selector.block, references)}: patches were "
        f"divided greedily into {selector.bins} bins, and a coreset takes the same share of every bin, {within}"
    )


def _gain(block: Mapping[str, Any], references: References) -> str:
    return _GAINS[block.get("gain", "sum")].format(study=references.cite("study").strip("()"))


SELECTORS: dict[str, Callable[[Selector, References], str]] = {
    "dq": _dq,
    "random": _random,
    "kcenter": _kcenter,
    "herding": _herding,
    "typicality": _typicality,
    "uncertainty": _uncertainty,
    "few": _few,
}
"""What each method does, as the sentence goes on that begins with the selector."""
