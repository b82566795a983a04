"""Keeping the old: what a fine-tuning does so that the network does not forget what its parent has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from frugalseg.training.frozen import encoder_of


class Keep(NamedTuple):
    """What is done, and how much.

    Attributes
    ----------
    method : {"l2sp", "ewc", "lwf", "frozen"}
        Weights are pulled towards the parent's, all alike or by the parent's Fisher information
        (`frugalseg.training.anchor`); the parent's outputs are learned beside the labels
        (`frugalseg.training.distillation`); or the encoder is frozen (`frugalseg.training.frozen`).
    strength : float
        Weight of what keeps the old against the loss; 0 is naive fine-tuning.
    patches : int
        Of ``ewc``: patches of the parent's last stage that the Fisher information is taken from.
    parts : tuple of str
        Of ``frozen``: names of the modules that are frozen.
    """

    method: str
    strength: float = 0.0
    patches: int = 64
    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, block: Mapping[str, Any], arch: str) -> Keep:
        """From the block ``keep`` of a recipe for an architecture."""
        return cls(**block, parts=encoder_of(arch) if block["method"] == "frozen" else ())
