"""Fine-tuning and replay, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from frugalseg.chains import Chain, Source, parse
from frugalseg.reporting.formats import listing, plural
from frugalseg.reporting.references import References
from frugalseg.study.experiments import study_models
from frugalseg.study.lineage import parent_of


def transfer(config: Mapping[str, Any], references: References) -> str:
    """How models are fine-tuned, and what is replayed; empty where no chain has a second stage."""
    recipes = config["recipes"]
    tuned = [model for model in study_models(config) if parent_of(model, recipes) is not None]
    if not tuned:
        return ""
    sentences = [_fine_tuning({recipe for recipe, _, _ in tuned}, recipes)]
    for name in dict.fromkeys(recipe for recipe, _, _ in tuned):
        if "parent_seed" in recipes[name]:
            sentences.append(
                f"All runs of the recipe *{name}* start from one model, that of seed {recipes[name]['parent_seed']}, so that "
                "they differ by their draws alone."
            )
    chains = dict.fromkeys(chain for _, chain, _ in tuned)
    sentences += _replay([source for chain in chains for source in _replayed(parse(chain))])
    return " ".join([*sentences, *_matrices(config["transfers"], references)])


def _fine_tuning(names: set[str], recipes: Mapping[str, Any]) -> str:
    ways = {"lora", "keep", "interpolate"}
    told = {name for name in names if ways & recipes[name].keys() or recipes[name].get("parent", name) != name}
    same = ""
    if names - told:
        same = " with the settings of the first stage and all weights free" + (
            ", where they have no recipe that says otherwise" if told else ""
        )
    return f"Models were fine-tuned from one dataset to the next{same}; optimiser and schedule start anew with every stage."


def _replay(replayed: list[Source]) -> list[str]:
    if not replayed:
        return []
    rates = sorted({float(source.subset.number) for source in replayed if _is_rate(source)})
    parts = f" ({listing(f'{rate:g} %' for rate in rates)})" if rates else ""
    sentences = [f"In replay, an earlier dataset or a part of it{parts} was mixed into the later stage."]
    if any(source.share is None for source in replayed):
        sentences.append("Patches of both were then drawn in proportion to their numbers.")
    if shares := sorted({source.share for source in replayed if source.share is not None}):
        sentences.append(f"Where a share is given, replay filled {listing(f'{s:g} %' for s in shares)} of every batch.")
    return sentences


def _matrices(blocks: Mapping[str, Any], references: References) -> Iterator[str]:
    if not blocks:
        return
    count = len({chain for block in blocks.values() for chain in block["chains"]})
    chance = {
        "untrained": "a network at its random start, before any step",
        "start": "the model after the first stage, which counts as pre-training",
    }
    used = dict.fromkeys(block["reference"] for block in blocks.values())
    yield (
        f"Along {plural(count, 'chain')} the models of all stages were scored on every dataset; backward and forward transfer are "
        f"those of {references.cite('transfer').strip('()')}. What stands for chance is "
        f"{listing((chance[key] for key in used), before_last=', or ')}."
    )


def _replayed(chain: Chain) -> list[Source]:
    """Sources of the last stage whose dataset an earlier stage has seen."""
    earlier = {source.dataset for stage in chain.stages[:-1] for source in stage.sources}
    return [source for source in chain.sources if source.dataset in earlier]


def _is_rate(source: Source) -> bool:
    return source.subset is not None and source.subset.selector != "few"
