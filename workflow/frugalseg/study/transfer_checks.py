"""Checks of the transfer matrices of a config that its schema cannot make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from frugalseg.chains import ChainError, parse
from frugalseg.study.transfers import transfer_tests


def transfer_problems(name: str, block: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with a transfer matrix, and the key it stands at.

    Parameters
    ----------
    name : str
        Of the block.
    block : mapping
        A block of ``transfers`` that the schema has accepted.
    config : mapping
        The config, completed with defaults.
    """
    where = f"transfers.{name}"
    for section in ("experiments", "widths", "learning_curves", "keeping"):
        if name in config[section]:
            yield "title", f"{where}: there is a block of this name in {section}; choose another"
    if block["metric"] == "hd95":
        yield "metric", f"{where}.metric is 'hd95'; choose a score from 0 to 1, of which larger is better"
    recipe = config["recipes"].get(block["recipe"], {})
    if "weights" in recipe:
        yield "recipe", f"{where}.recipe {block['recipe']!r} trains nothing itself; name {recipe['weights']!r}"
    if recipe.get("target") == "foreground":
        yield "recipe", f"{where}.recipe {block['recipe']!r} learns foreground; choose one that finds cells"
    if block["reference"] == "untrained" and f"{block['recipe']}-untrained" in config["recipes"]:
        taken = f"{block['recipe']}-untrained"
        yield "recipe", f"{where} calls its untrained networks {taken!r}, as one of the recipes is called; rename that"
    for chain in block["chains"]:
        yield from (("chains", f"{where}.chains: {message}") for message in _chain_problems(chain, block))


def _chain_problems(chain: str, block: Mapping[str, Any]) -> Iterator[str]:
    try:
        stages = parse(chain).stages
    except ChainError:
        # The checks of chains tell it.
        return
    counted = len(stages) - (block["reference"] == "start")
    if counted < 2:
        first = ", not counting the first, which is the reference" if block["reference"] == "start" else ""
        yield f"the chain {chain!r} has {counted} stage{'' if counted == 1 else 's'}{first}; transfer needs two or more"
        return
    learning = set(transfer_tests(block, chain).values())
    for number, stage in enumerate(stages[-counted:], 1):
        if number not in learning:
            yield (
                f"the stage '{stage}' of the chain {chain!r} learns no dataset that is new to the chain, so that neither "
                "forgetting nor foresight can be told of it; take it away"
            )
