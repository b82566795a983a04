"""What a network is shown at every optimiser step: a new batch, or one again from the state that its recursion has reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from frugalseg.training.feed import Crops, Feed
from frugalseg.training.losses import unit_flow_errors

# An image whose flows are good enough is trained on all the same this often (Kuang et al. 2026).
_EXPLORATION = 0.5


def supervised_steps(model: nn.Module) -> int:
    """Optimiser steps that a network makes with a batch: M of a recursive one, else one."""
    return model.recursion.supervised if hasattr(model, "recursion") else 1


class Supervision:
    """Forward passes of the optimiser steps of a run.

    Most networks learn from a batch once. A recursive one (with attributes ``recursion``, ``carry`` and ``halting``, such as
    `frugalseg.models.ucell.UCell`) learns from it M times, each time from the state where the time before ended. With a
    threshold for halting, images whose flow error is below it leave the batch, half of them each time.

    Parameters
    ----------
    feed : Feed
        Where batches come from.
    model : nn.Module
        The network itself.
    network : nn.Module
        What is called: the network, or one shared among processes. Images (B, C, H, W), and for a recursive network its
        state, -> output, and the new state.
    predict : callable
        Calls `network` with its arguments, in the arithmetic of the run.
    generator : torch.Generator
        Says which images go on though they may halt; used for nothing else.

    Attributes
    ----------
    images : Tensor or None
        Those of the last forward pass.
    between_batches : bool
        Whether the next step takes a new batch: where a run can be interrupted.
    """

    def __init__(
        self,
        feed: Feed,
        model: nn.Module,
        network: nn.Module,
        predict: Callable[..., Any],
        generator: torch.Generator,
    ) -> None:
        self._feed, self._model, self._network = feed, model, network
        self._predict, self._generator = predict, generator
        self._recursive = hasattr(model, "initial_state")
        self.images: Tensor | None = None
        self._crops: Crops | None = None
        self._state: Tensor | None = None
        self._made = 0

    @property
    def between_batches(self) -> bool:
        return self._crops is None

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Output of the network with the labels and flows that it is to have; see :mod:`frugalseg.training.losses`."""
        if not self._recursive:
            self.images, labels, flows = self._feed.take()
            return self._predict(self._network, self.images), labels, flows
        if self._crops is None:
            self._crops, self._made = self._feed.take(), 0
        self.images, labels, flows = self._crops
        if self._made == 0 or not self._model.carry:
            self._state = self._network.initial_state(self.images)
        output, self._state = self._predict(self._network, self.images, self._state)
        self._made += 1
        if self._made == supervised_steps(self._model):
            self._crops = None
        elif self._model.halting:
            self._halt(output.detach())
        return output, labels, flows

    def state_dict(self) -> dict[str, Any]:
        """What it remembers between batches."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where a supervision of the same run was, between batches."""
        self._generator.set_state(state["generator"])

    def _halt(self, output: Tensor) -> None:
        """Take images that are good enough out of the batch."""
        _, labels, flows = self._crops
        drawn = torch.rand(len(labels), generator=self._generator).to(labels.device)
        goes_on = (unit_flow_errors(output, labels, flows) >= self._model.halting) | (drawn < _EXPLORATION)
        self._crops = tuple(part[goes_on] for part in self._crops) if goes_on.any() else None
        self._state = self._state[goes_on]
