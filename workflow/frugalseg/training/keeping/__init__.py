"""Keeping the old: what a fine-tuning does so that the network does not forget what its parent has learned.

A way of keeping is one file with a class `Way` and constants that say what others need to know of it:

    METHODS   what it is, for the methods section: the end of "were fine-tuned ...", a template over its options (Jinja)
    CITES     the papers that `METHODS` cites, by key
    OPTIONS   its keys in a recipe's block `keep`, each a fragment of JSON schema with description and default
    NEEDS     old_patches: those that the parent was trained on last
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from torch import Tensor, nn

from frugalseg.models import encoder_of
from frugalseg.runtime.literals import check_member, members
from frugalseg.training.losses import Loss
from frugalseg.training.sampling import Crops


class Keep(NamedTuple):
    """What is done, with which options; `parts` are the modules that make the network's encoder."""

    method: str
    options: dict[str, Any]
    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, block: Mapping[str, Any], arch: str) -> Keep:
        """From the block ``keep`` of a recipe for an architecture; options that it leaves out have their defaults."""
        given = dict(block)
        method = given.pop("method")
        check_member("training.keeping", method, "way of keeping")
        options = members("training.keeping")[method].get("OPTIONS", {})
        defaults = {key: option["default"] for key, option in options.items() if "default" in option}
        return cls(method, defaults | given, encoder_of(arch))


class Start(NamedTuple):
    """Where a fine-tuning starts: the network with the parent's weights, what it learns, and how."""

    network: nn.Module
    target: str
    loss: Loss
    predict: Callable[..., Any]  # calls a network with images, in the arithmetic of the run
    old_crops: Callable[[int], Iterator[Crops]]  # so many patches that the parent was trained on, one at a time


class Way:
    """What a way of keeping may do in a run; this one does nothing.

    Parameters
    ----------
    keep : Keep
    """

    def __init__(self, keep: Keep) -> None:
        self.keep = keep

    def prepare(self, network: nn.Module) -> None:
        """Whenever the network has been set to training, the first time before the run looks at what is trained."""

    def start(self, start: Start) -> None:
        """Once, before the first step."""

    def loss(self, images: Tensor, output: Tensor) -> Tensor | None:
        """A term of the loss, (), for images (B, C, H, W) and the output (B, ...) of the network."""

    def after_step(self, rates: Callable[[], Sequence[float | Tensor]]) -> None:
        """After a step of the optimiser whose rates are given, one a trained parameter."""


def way_of(keep: Keep | None) -> Way:
    """The way of a recipe; at a strength of 0 nothing is done, and the run is naive fine-tuning to the bit."""
    if keep is None or keep.options.get("strength") == 0:
        return Way(keep)
    return import_module(f"frugalseg.training.keeping.{keep.method}").Way(keep)
