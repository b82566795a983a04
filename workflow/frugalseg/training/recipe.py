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
    """How a stage is trained; the keys of a recipe in the config, without those of the network.

    Attributes
    ----------
    target : {"flows", "unit_flows", "foreground"}
        What the network learns, see `frugalseg.training.losses`.
    steps, epochs : int or None
        Optimiser steps, or passes over the patches that have no share.
    compute : float or None
        10^12 operations that the run may take, forward and backward. One of the three is given.
    batch, crop : int
        Patches a step, and side in pixels of what the network sees of each.
    optimiser : {"sgd", "adamw"}
        See `frugalseg.training.optimiser`.
    lr, weight_decay : float
        `lr` is the highest rate of the schedule.
    momentum, nesterov : float, bool
        Of SGD.
    betas : (float, float)
        Of AdamW.
    gradient_clip : float or None
        Longest gradient of a step, L2 norm over all weights; None: as long as it is.
    average : float or None
        Decay of the running mean of the weights that is kept in their place; None: the last weights are kept.
    lora : Adapters or None
        Low-rank adapters that are trained in place of the weights.
    keep : Keep or None
        What keeps a fine-tuned network from forgetting; None: nothing does.
    schedule : {"cellpose", "constant", "warmup", "poly"}
        See `frugalseg.training.schedules`.
    augmentation : {"cellpose", "ucell"}
        `random_affine` or `random_stretch` of `frugalseg.kernels.augment`.
    rescale : bool
        Bring every patch to a mean diameter of 30 pixels, 35 with UCell's augmentation.
    scale_range : float or None
        Width s of the random scale [1 - s/2, 1 + s/2]; None: 0.5 with `rescale`, 1 without (Stringer et al. 2021).
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic of the network; weights and losses are float32. ``auto`` is bfloat16 where the device has it.
    save_every, validate_every : int
        Steps between saves of the running state, and between rows of the log.
    """

    target: str = "flows"
    steps: int | None = None
    epochs: int | None = None
    compute: float | None = None
    batch: int = 8
    crop: int = 224
    optimiser: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_clip: float | None = None
    average: float | None = None
    lora: Adapters | None = None
    keep: Keep | None = None
    schedule: str = "cellpose"
    augmentation: str = "cellpose"
    rescale: bool = False
    scale_range: float | None = None
    precision: str = "auto"
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
        """Width of the random scale."""
        if self.scale_range is not None:
            return self.scale_range
        return 0.5 if self.rescale else 1.0

    def count_steps(self, steps_per_epoch: float, flops: Callable[[], int]) -> int:
        """Optimiser steps of a run.

        Parameters
        ----------
        steps_per_epoch : float
            Steps of one pass over the patches that have no share; looked at where the recipe has epochs.
        flops : callable
            Operations of one image's part in a step (`frugalseg.models.cost.step_flops`); called where the recipe says how
            much the run may compute. At least one step is made.
        """
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return math.ceil(self.epochs * steps_per_epoch - 1e-9)
        return max(1, round(self.compute * _TERA / (self.batch * flops())))
