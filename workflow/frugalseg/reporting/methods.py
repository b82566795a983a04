"""The methods of a study in words, from its config, as they could stand in a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.chains import Source, parse
from frugalseg.experiments import expand, study_models, width_networks
from frugalseg.provenance import package_versions
from frugalseg.reporting.references import References
from frugalseg.reporting.words import listing, number, plain, plural

_DOMAINS = {
    "cyto": "fluorescent cells in many looks",
    "histo": "stained tissue",
    "multi": "a mixture of modalities",
}
_PEERS = {"tinyunet": "TinyU-Net", "unext": "UNeXt", "cmunext": "CMUNeXt"}
_GAINS = {
    "sum": "the submodular gain of {study}, eq. 1",
    "mean": "the mean-distance gain of the public code of {study}",
    "graphcut": "that gain on normalised features",
}
_SCHEDULES = {
    "cellpose": "which rises over the first ten epochs and is halved at intervals at the end of long runs",
    "warmup": "which rises over the first 12 % of the steps and falls to a fifth after 70 % of them",
    "poly": "which falls as (1 − step / steps)^0.9",
}


def to_markdown(config: Mapping[str, Any]) -> str:
    """Write the methods section of a study.

    Parameters
    ----------
    config : mapping
        The completed config; every number in the text comes from it.

    Returns
    -------
    str
        Markdown: paragraphs, then the references that they cite.
    """
    references = References()
    paragraphs = {
        "Data": _data(config, references),
        "Coresets": _coresets(config, references),
        "Training": _training(config, references),
        "Transfer and replay": _transfer(config),
        "Width": _widths(config, references),
        "Evaluation": _evaluation(config, references),
    }
    text = [f"**{title}.** {paragraph}" for title, paragraph in paragraphs.items() if paragraph]
    listed = [f"- {reference}" for reference in references.listed()]
    return "\n\n".join(["# Methods", *text, "## References", "\n".join(listed)]) + "\n"


def _data(config: Mapping[str, Any], references: References) -> str:
    blocks, patches = config["datasets"], config["patches"]
    sentences = [
        f"The study uses {plural(len(blocks), 'dataset')}: "
        + listing((_dataset(name, block, references) for name, block in blocks.items()), "; ", "; and ")
        + "."
    ]
    if any(block["source"] == "synthetic" for block in blocks.values()):
        sentences.append("Synthetic images were drawn by the microscope of frugalseg, whose labels are exact.")
    if any(block["channels"] == "grey" for block in blocks.values()):
        sentences.append("Colour images were averaged to one channel.")
    sentences.append(
        "Every image was normalised so that its 1st percentile became 0 and its 99th became 1, and cut into patches of "
        f"{patches['size']} × {patches['size']} pixels at a stride of {patches['stride']} pixels. "
        + (
            "Patches that hang over the border were completed by reflection and carry no labels there."
            if patches["border"] == "pad"
            else "Patches that hang over the border were left out."
        )
    )
    if patches["min_cells"] > 0:
        few = "without a cell" if patches["min_cells"] == 1 else f"with fewer than {number(patches['min_cells'])} cells"
        after = ", after coresets had been selected" if any(source.subset for source in _sources(config)) else ""
        sentences.append(f"Patches {few} were left out of training{after}.")
    return " ".join(sentences)


def _dataset(name: str, block: Mapping[str, Any], references: References) -> str:
    if block["source"] == "synthetic":
        return (
            f"*{name}*, synthetic images of {_DOMAINS[block['domain']]} ({block['train']} for training and "
            f"{block['test']} for testing, {block['size']} × {block['size']} pixels each)"
        )
    cited = f" {references.cite_dataset(block['citation'])}" if "citation" in block else ""
    # A title may end in a bracket of its own.
    return f"*{name}*, {block['title']}{cited}".replace(") (", "; ")


def _coresets(config: Mapping[str, Any], references: References) -> str:
    used = list(dict.fromkeys(source.subset.selector for source in _sources(config) if source.subset))
    if not used:
        return ""
    methods = {name: config["selectors"][name] for name in used}
    sentences = []
    if any(block["method"] in ("dq", "kcenter") for block in methods.values()):
        sentences.append(_features(config["features"], references))
    first = next((name for name, block in methods.items() if block["method"] == "dq"), None)
    for name, block in methods.items():
        if block["method"] == "dq" and name != first:
            sentences.append(f"The selector *{name}* differs from *{first}* in using {_gain(block, references)}.")
        else:
            sentences.append(_selector(name, block, config["bins"], references))
    if any(block["method"] != "few" for block in methods.values()):
        sentences.append(
            f"At a rate of r % every selector takes max(1, ⌊r |S| / 100⌋) patches for each of the {config['bins']} bins S "
            "into which the dataset divides evenly, so that one rate stands for one number of patches; subsets of one "
            "selector are nested."
        )
    return " ".join(sentences)


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


def _selector(name: str, block: Mapping[str, Any], bins: int, references: References) -> str:
    if block["method"] == "random":
        return f"The selector *{name}* drew patches at random, anew for every seed."
    if block["method"] == "few":
        return f"The selector *{name}* drew whole images at random, anew for every seed, and took all their patches."
    if block["method"] == "kcenter":
        return (
            f"The selector *{name}* was greedy k-center {references.cite('kcenter')}, which takes the patch farthest from "
            "all patches taken before."
        )
    within = "in the order of selection" if block.get("sample", "head") == "head" else "in random order"
    return (
        f"The selector *{name}* was dataset quantization {references.cite('quantization')} with {_gain(block, references)}: patches "
        f"were divided greedily into {bins} bins, and a coreset takes the same share of every bin, {within}."
    )


def _gain(block: Mapping[str, Any], references: References) -> str:
    return _GAINS[block.get("gain", "sum")].format(study=references.cite("study").strip("()"))


def _training(config: Mapping[str, Any], references: References) -> str:
    used = list(dict.fromkeys(recipe for recipe, _, _ in study_models(config)))
    proofs = {name for block in config["widths"].values() if "training" in block for name in _proof_recipes(block)}
    flows = [name for name in used if name not in proofs]
    sentences = [_recipe(config["recipes"][name], references) for name in flows]
    seeds = sorted({len(entry.seeds) for block in config["experiments"].values() for entry in expand(block)})
    if seeds:
        runs = "once" if seeds == [1] else f"with {listing(map(number, seeds), before_last=' or ')} seeds"
        sentences.append(f"Each model was trained {runs}.")
    if flows:
        sentences.append("The weights after the last step were kept; nothing was chosen on test images.")
    return " ".join(sentences)


def _recipe(recipe: Mapping[str, Any], references: References) -> str:
    widths = listing(map(str, recipe["widths"]))
    if recipe["arch"] == "cpnet":
        network = f"The residual U-Net of Cellpose {references.cite('cellpose')} with {widths} channels"
    elif recipe["arch"] in _PEERS:
        network = f"{_PEERS[recipe['arch']]} {references.cite(recipe['arch'])}"
    else:
        network = f"The U-Net of nnU-Net's plan {references.cite('nnunet')}"
    target = (
        "flows towards cell centres and the probability of a cell"
        if recipe["target"] == "flows"
        else "foreground against background"
    )
    return f"{network} was trained to predict {target}. {_optimisation(recipe, 'It was trained', ' a stage')} {_augmentation(recipe)}"


def _optimisation(recipe: Mapping[str, Any], opening: str, each: str) -> str:
    length = f"{recipe['steps']:,} steps" if "steps" in recipe else f"{recipe['epochs']:,} epochs"
    momentum = f"{'Nesterov momentum' if recipe['nesterov'] else 'momentum'} {recipe['momentum']:g}"
    clipped = f", gradients clipped at a norm of {recipe['gradient_clip']:g}" if "gradient_clip" in recipe else ""
    return (
        f"{opening} by stochastic gradient descent ({momentum}, weight decay {plain(recipe['weight_decay'])}{clipped}) "
        f"for {length}{each} in batches of {recipe['batch']}, with a learning rate of {plain(recipe['lr'])}, "
        f"{_SCHEDULES[recipe['schedule']]}."
    )


def _augmentation(recipe: Mapping[str, Any]) -> str:
    spread = recipe.get("scale_range", 0.5 if recipe["rescale"] else 1.0)
    brought = "brought to a mean cell diameter of 30 pixels, " if recipe["rescale"] else ""
    return (
        f"Patches were {brought}flipped, rotated by any angle, scaled by a factor between {1 - spread / 2:g} and "
        f"{1 + spread / 2:g}, shifted, and cropped to {recipe['crop']} × {recipe['crop']} pixels, at random."
    )


def _transfer(config: Mapping[str, Any]) -> str:
    chains = [parse(chain) for _, chain, _ in study_models(config)]
    if all(chain.parent is None for chain in chains):
        return ""
    sentences = [
        "Models were fine-tuned from one dataset to the next with the settings of the first stage and all weights free; "
        "optimiser and schedule start anew with every stage."
    ]
    replayed = [source for chain in chains if chain.parent for source in _replayed(chain)]
    if replayed:
        rates = sorted({float(source.subset.number) for source in replayed if _is_rate(source)})
        parts = f" ({listing(f'{rate:g} %' for rate in rates)})" if rates else ""
        sentences.append(f"In replay, an earlier dataset or a part of it{parts} was mixed into the later stage.")
        if any(source.share is None for source in replayed):
            sentences.append("Patches of both were then drawn in proportion to their numbers.")
        if shares := sorted({source.share for source in replayed if source.share is not None}):
            sentences.append(
                f"Where a share is given, replay filled {listing(f'{s:g} %' for s in shares)} of every batch."
            )
    return " ".join(sentences)


def _replayed(chain: Any) -> list[Source]:
    """Sources of the last stage whose dataset an earlier stage has seen."""
    earlier = {source.dataset for stage in chain.stages[:-1] for source in stage.sources}
    return [source for source in chain.sources if source.dataset in earlier]


def _is_rate(source: Source) -> bool:
    return source.subset is not None and source.subset.selector != "few"


def _widths(config: Mapping[str, Any], references: References) -> str:
    # Scans that differ in their dataset alone are told together.
    alike: list[tuple[dict[str, Any], list[str]]] = []
    for block in config["widths"].values():
        settings = {
            key: value for key, value in block.items() if key not in ("title", "caption", "dataset", "published")
        }
        datasets = next((names for known, names in alike if known == settings), None)
        if datasets is None:
            alike.append((settings, [block["dataset"]]))
        else:
            datasets.append(block["dataset"])
    return " ".join(_width(settings, datasets, config, references) for settings, datasets in alike)


def _width(block: Mapping[str, Any], datasets: list[str], config: Mapping[str, Any], references: References) -> str:
    caps = sorted(block["caps"], reverse=True)
    named = listing(f"*{name}*" for name in datasets)
    sentences = [
        f"The width of a network for {named} was chosen without training as XTinyU-Net does "
        f"{references.cite('xtinyunet')}: U-Nets of nnU-Net's plan {references.cite('nnunet')} for {block['crop']} × "
        f"{block['crop']} pixels, their widths capped at {listing(map(str, caps))} channels, were scored untrained in "
        f"{plural(len(block['seeds']), 'initialisation')} on {plural(block['images'], 'unlabelled crop')} by "
        f"{_scores(block['scores'])}, and uncertainty was estimated from {block['draws']:,} bootstrap draws."
    ]
    if "training" in block:
        training = block["training"]
        recipe = config["recipes"][training["recipe"]]
        trained = sorted(training.get("caps", block["caps"]), reverse=True)
        peers = [f"{_PEERS[peer]} {references.cite(peer)}" for peer in training["peers"]]
        beside = f", beside {listing(peers)}," if peers else ""
        sentences.append(
            f"For comparison the networks capped at {listing(map(str, trained))}{beside} were trained in "
            f"{plural(len(training['seeds']), 'run')} each to tell foreground from background. "
            + _optimisation(recipe, "They were trained", "")
            + f" A loss of up to {training['margin']:g} in Dice against the widest network was counted as none."
        )
    return " ".join(sentences)


def _scores(scores: list[str]) -> str:
    named = {"sensitivity": "input sensitivity (the norm of the gradient of the output with respect to the input)"}
    others = [score for score in scores if score != "sensitivity"]
    own = [named[score] for score in scores if score in named]
    rivals = [f"{number(len(others))} rival score{'' if len(others) == 1 else 's'}"] if others else []
    return listing([*own, *rivals])


def _proof_recipes(block: Mapping[str, Any]) -> list[str]:
    return [f"{block['training']['recipe']}-{network}" for network in width_networks(block)]


def _evaluation(config: Mapping[str, Any], references: References) -> str:
    versions = package_versions()
    return (
        "Models were scored on every test image by IoU, Dice, precision, recall and accuracy of the foreground, and by "
        f"panoptic quality {references.cite('panoptic')}, average precision, F1, the aggregated Jaccard index and the 95 % "
        "Hausdorff distance of whole cells. Tables give means over test images, their standard deviation over images, and, "
        "where there are several runs, the standard deviation of the mean over runs. All computations were done with "
        f"frugalseg {versions['frugalseg']}, PyTorch {versions['torch'].partition('+')[0]} and Snakemake "
        f"{versions['snakemake']}; the config, the seeds and the revision of the code lie beside every result."
    )


def _sources(config: Mapping[str, Any]) -> list[Source]:
    chains = dict.fromkeys(chain for _, chain, _ in study_models(config))
    return [source for chain in chains for stage in parse(chain).stages for source in stage.sources]
