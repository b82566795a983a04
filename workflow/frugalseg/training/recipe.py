"""How a stage is trained: the recipe of the config as the training loop reads it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from frugalseg.training.keeping import Keep
from frugalseg.training.lora import Adapters

_TERA = 1e12


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained; the keys of a recipe in the config, without those of the network."""

    target: str = "flows"  # what the network learns, see `frugalseg.training.losses`
    steps: int | None = None  # one of three: optimiser steps,
    epochs: int | None = None  # passes over the patches that have no share,
    compute: float | None = None  # or 10^12 operations, forward and backward
    batch: int = 8
    crop: int = 224  # side in pixels of what the network sees of a patch
    optimiser: str = "sgd"
    lr: float = 0.1  # the highest of the schedule
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_clip: float | None = None  # longest gradient of a step, L2 norm over all weights
    average: float | None = None  # decay of the running mean of the weights that is kept in their place
    lora: Adapters | None = None
    keep: Keep | None = None
    schedule: str = "cellpose"
    augmentation: str = "cellpose"
    rescale: bool = False  # bring every patch to the augmentation's common mean diameter
    scale_range: float | None = None  # width s of the random scale [1 - s/2, 1 + s/2]; None: see `scales`
    precision: str = "auto"  # of the network; weights and losses are float32
    save_every: int = 500
    validate_every: int = 500

    def __post_init__(self) -> None:
        lengths = {name: getattr(self, name) for name in ("steps", "epochs", "compute")}
        if sum(length is not None for length in lengths.values()) != 1:
            raise ValueError(f"a recipe has steps, epochs or compute, one of them; this one has {lengths}")
        if self.lora and self.keep:
            raise ValueError("a recipe has lora or keep, not both: adapters leave the parent's weights as they are")

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> Recipe:
        """Recipe from its block of the config; keys of the network and of chains are passed over."""
        names = {field.name for field in fields(cls)}
        values = {name: value for name, value in block.items() if name in names}
        if values.get("lora"):
            values["lora"] = Adapters.of(values["lora"])
        if values.get("keep"):
            values["keep"] = Keep.of(values["keep"], block["arch"])
        return cls(**values)

    @property
    def scales(self) -> float:
        """Width of the random scale (Stringer et al. 2021)."""
        if self.scale_range is not None:
            return self.scale_range
        return 0.5 if self.rescale else 1.0

    def count_steps(self, steps_per_epoch: float, flops: Callable[[], int]) -> int:
        """Optimiser steps of a run, at least one.

        `flops` gives the operations of one image's part in a step; it is called where the recipe says how much to compute.
        """
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return math.ceil(self.epochs * steps_per_epoch - 1e-9)
        return max(1, round(self.compute * _TERA / (self.batch * flops())))
