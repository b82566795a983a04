"""Keeping the old: what a fine-tuning does so that the network does not forget what its parent has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from frugalseg.models import encoder_of

METHODS = {
    "l2sp": "with all weights pulled towards the parent's (L2-SP; @l2sp) with a strength of {{ '%g' % strength }}, by proximal "
    "steps, and the statistics of batch norms with them",
    "ewc": "with elastic weight consolidation [@ewc] of a strength of {{ '%g' % strength }}, by proximal steps, the Fisher "
    "information from {{ patches | number }} patch{{ '' if patches == 1 else 'es' }} of the parent's last stage",
    "lwf": "to repeat the parent's outputs on the new patches as well (learning without forgetting; @lwf), with a weight of "
    "{{ '%g' % strength }}",
    "frozen": "with a frozen encoder (*{{ parts | listing('*, *', '* and *') }}*)",
}
CITES = {
    "l2sp": "Li, Grandvalet & Davoine 2018, Explicit inductive bias for transfer learning with convolutional networks, "
    "International Conference on Machine Learning",
    "ewc": "Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, Proceedings of the National Academy "
    "of Sciences 114",
    "lwf": "Li & Hoiem 2017, Learning without forgetting, IEEE Transactions on Pattern Analysis and Machine Intelligence 40",
}


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
