"""How the model that keeps one dataset and learns another was chosen, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.reporting.formats import listing, plain, plural
from frugalseg.study.metrics import metric_of


def keeping(config: Mapping[str, Any]) -> str:
    """What arms were compared and what chose among them; empty where no block of ``keeping`` asks."""
    blocks = list(config["keeping"].values())
    if not blocks:
        return ""
    return " ".join(
        [
            *map(_arms, blocks),
            f"Of each arm the candidate was taken that scored best on the {plural(config['tuning'], 'tuning image')} of "
            "either dataset, on average over seeds, and of all candidates and the start likewise the model to take; test images "
            "chose nothing. Differences are paired by seed and image, with 95 % intervals from the variance over seeds and "
            "over images.",
        ]
    )


def _arms(block: Mapping[str, Any]) -> str:
    arms, source = block["arms"], f"*{block['source']}*"
    candidates = plural(len(next(iter(arms.values()))), "candidate")
    return (
        f"To learn *{block['target']}* and keep {source}, {plural(len(arms), 'arm')} of {candidates} each were compared "
        f"({listing(arms)}), by the mean of {metric_of(block['metric']).name} on both, in which that on {source} counted "
        f"{plain(block['source_weight'])}."
    )
