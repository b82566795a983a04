"""What a model was made of, written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

# A change of that module retrains nothing: the rule of training takes no fingerprint of it.
from frugalseg.runtime.provenance import surroundings
from frugalseg.runtime.provenance import write_json as write

__all__ = ["describe", "write"]


def describe(
    *, chain: str, recipe: str, config: Mapping[str, Any], seed: int, device: str | torch.device, **measured: Any
) -> dict[str, Any]:
    """Provenance of a model, for the JSON file beside it.

    Parameters
    ----------
    chain, recipe : str
        The two halves of the model's name.
    config : mapping
        The config keys that were used.
    seed : int
        Seed of the run.
    device : str or torch.device
        Where it was trained.
    **measured
        What the run found, e.g. ``seconds``, ``steps``, ``counts``; JSON types.

    Returns
    -------
    dict
        JSON types only; see `frugalseg.runtime.provenance.surroundings` for the versions, the revision and the device.
    """
    return {
        "chain": chain,
        "recipe": recipe,
        "config": dict(config),
        "seed": seed,
        **surroundings(device),
        **measured,
    }
