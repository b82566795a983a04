"""How a stage is trained: the recipe of the config as the training loop reads it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict

from frugalseg.study.recipe import Training
from frugalseg.training.keeping import Keep
from frugalseg.training.lora import Adapters

_TERA = 1e12


class Recipe(Training):
    """How a stage is trained: the keys of a recipe in the config, without those of the network, and their defaults."""

    model_config = ConfigDict(strict=False)

    lora: Any = None
    """`frugalseg.training.lora.Adapters`, or None."""
    keep: Any = None
    """`frugalseg.training.keeping.Keep`, or None."""

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> Recipe:
        """Recipe from its completed block of the config; keys of the network and of chains are passed over."""
        values = {name: value for name, value in block.items() if name in cls.model_fields}
        if values.get("lora"):
            values["lora"] = Adapters.of(values["lora"])
        if values.get("keep"):
            values["keep"] = Keep.of(values["keep"], block["arch"])
        # It was checked when the study was read, or it is the start of a network, which takes no step.
        return cls.model_construct(**values)

    def with_changes(self, **changes: Any) -> Recipe:
        """The same recipe but for some keys."""
        return self.model_copy(update=changes)

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
