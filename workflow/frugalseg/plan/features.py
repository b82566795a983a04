"""How fast a machine finds the features of patches, and how long it trains the autoencoder that finds them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from frugalseg.data.stores import Patches
from frugalseg.pretraining.autoencoder import pretrain

if TYPE_CHECKING:
    from transformers import ViTMAEModel

_BATCH = 8
_STEPS = 3


def measure_features(settings: Mapping[str, Any], patches: Patches, device: torch.device) -> dict[str, float]:
    """Seconds that features take on this machine, measured on a few batches.

    Parameters
    ----------
    settings : mapping
        ``features`` of the completed config. Of a checkpoint that is not here yet ViT-MAE-base is assumed, with random
        weights: they cost the same.
    patches : Patches
        A few patches.
    device : torch.device
        Where to compute.

    Returns
    -------
    dict
        ``seconds_per_patch``, ``dimension`` of a feature vector, and ``seconds_of_pretraining``, 0 with a checkpoint.
    """
    encoder, pretraining = _encoder(settings, patches, device)
    encoder = encoder.to(device).eval()
    height, width = encoder.embeddings.image_size
    with torch.inference_mode():
        pixels = torch.zeros(_BATCH, 3, height, width, device=device)
        encoder(pixels[:1]).last_hidden_state.sum().item()
        start = time.perf_counter()
        encoder(pixels).last_hidden_state.sum().item()
        seconds = time.perf_counter() - start
    return {
        "seconds_per_patch": seconds / _BATCH,
        "dimension": encoder.config.hidden_size,
        "seconds_of_pretraining": pretraining,
    }


def _encoder(settings: Mapping[str, Any], patches: Patches, device: torch.device) -> tuple[ViTMAEModel, float]:
    """The encoder of a study with random weights that sees every token, and the seconds of its pre-training."""
    if "checkpoint" not in settings:
        return _pretrained(settings["pretraining"], patches, device)
    from transformers import ViTMAEConfig, ViTMAEModel

    described = Path(settings["checkpoint"]) / "config.json"
    config = json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {}
    return ViTMAEModel(ViTMAEConfig(**{**config, "mask_ratio": float(settings["mask_ratio"])})), 0.0


def _pretrained(block: Mapping[str, Any], patches: Patches, device: torch.device) -> tuple[ViTMAEModel, float]:
    def seconds_of(steps: int) -> tuple[ViTMAEModel, float]:
        start = time.perf_counter()
        model = pretrain([patches], seed=0, device=device, **{**block, "steps": steps})
        return model.network.vit, time.perf_counter() - start

    seconds_of(1)  # imports the library and fills caches
    _, once = seconds_of(1)
    encoder, several = seconds_of(1 + _STEPS)
    encoder.config.mask_ratio = 0.0
    return encoder, once + max(several - once, 0.0) / _STEPS * (block["steps"] - 1)
