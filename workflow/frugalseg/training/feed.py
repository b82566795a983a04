"""Batches prepared ahead: the next one is drawn and augmented while the network learns from the present one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from frugalseg.training.sampling import Batch, Sampler

Crops = tuple[Tensor, Tensor, Tensor]
"""Images, labels and flows of one step, as the network is given them."""


class Feed:
    """Prepares batches in a thread of its own, one ahead of what was taken.

    Batches are prepared one after another and nothing else uses the generator, so they are the same as without the
    thread. Where the feed stands is told by the last batch taken, not by the one in preparation.

    Parameters
    ----------
    sampler : Sampler
        Draws the patches.
    generator : torch.Generator
        Of the sampler and of the augmentation.
    augment : callable
        Makes crops of the patches.
    count : int
        Batches that will be taken, so that none is prepared in vain.
    """

    def __init__(
        self, sampler: Sampler, generator: torch.Generator, augment: Callable[[Batch], Crops], count: int
    ) -> None:
        self._sampler, self._generator, self._augment = sampler, generator, augment
        self._left = count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: Future[tuple[Crops, dict[str, Any]]] | None = None
        self._state = self._standing()

    def take(self) -> Crops:
        """The next batch; starts the preparation of the one after it.

        Raises
        ------
        Exception
            Whatever stopped its preparation.
        """
        if self._next is None:
            self._start()
        crops, self._state = self._next.result()
        self._next = None
        if self._left:
            self._start()
        return crops

    def state_dict(self) -> dict[str, Any]:
        """Generator and sampler as they were when the last batch taken was ready."""
        return self._state

    def load_state_dict(self, state: dict[str, Any], count: int) -> None:
        """Go on from where a feed of the same patches was, for `count` batches; before any batch is taken."""
        self._generator.set_state(state["generator"])
        self._sampler.load_state_dict(state["sampler"])
        self._state, self._left = state, count

    def _start(self) -> None:
        self._left -= 1
        self._next = self._thread.submit(self._prepare)

    def _prepare(self) -> tuple[Crops, dict[str, Any]]:
        return self._augment(self._sampler.draw()), self._standing()

    def _standing(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state(), "sampler": self._sampler.state_dict()}
