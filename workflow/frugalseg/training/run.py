"""One training run: everything that changes while it goes on, and how one step changes it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frugalseg.data.stores import Patches
from frugalseg.kernels.augment import random_affine, random_stretch
from frugalseg.models.cost import step_flops
from frugalseg.runtime.fingerprint import fingerprint
from frugalseg.training import checkpoints, lora, optimiser, schedules
from frugalseg.training.average import WeightAverage
from frugalseg.training.distributed import SharedNetwork, processes
from frugalseg.training.keeping import Start, way_of
from frugalseg.training.losses import LOSSES, unit_flow_errors
from frugalseg.training.recipe import Recipe
from frugalseg.training.sampling import Batch, Crops, Feed, Sampler, Source
from frugalseg.training.state import stamp_of
from frugalseg.training.validation import validation_loss

COMMON_DIAMETERS = {"cellpose": 30.0, "ucell": 35.0}
"""Mean cell diameter in pixels that `rescale` brings patches to, by augmentation."""
METHODS = {
    "cellpose": "flipped, rotated by any angle, scaled by a factor between {{ '%g' % (1 - scales / 2) }} and "
    "{{ '%g' % (1 + scales / 2) }}",
    "ucell": "flipped, transposed, scaled by 2^(0.6 n) and stretched by 2^(0.2 m) with n and m normal",
}
"""What the augmentations do to patches."""
SMALLEST_DIAMETER = 5.0
"""Diameters below this count as this, so that specks are not magnified without bound."""
# An image whose flows are good enough is trained on all the same this often (Kuang et al. 2026).
_EXPLORATION = 0.5
LOG_COLUMNS = ("step", "epoch", "lr", "train_loss", "validation_loss")


class Run:
    """A run of the training loop, `step` of `steps` made, with rows of `LOG_COLUMNS`; parameters as of `loop.train`."""

    def __init__(
        self,
        model: nn.Module,
        sources: Sequence[Source],
        recipe: Recipe,
        seed: int,
        min_cells: int,
        validation: Sequence[Patches],
        device: torch.device,
        parent_sources: Sequence[Source] = (),
    ) -> None:
        self.recipe, self.sources, self.device = recipe, sources, device
        self.validation = [patches for patches in validation if len(patches)]
        self.seed, self.min_cells, self.parent_sources = seed, min_cells, parent_sources
        self.generator = torch.Generator().manual_seed(seed)
        self.sampler = Sampler(sources, recipe.batch, min_cells, self.generator)
        # A recursive network learns from a batch in several steps.
        self.steps_per_epoch = self.sampler.steps_per_epoch * supervised_steps(model)
        self.steps = recipe.count_steps(self.steps_per_epoch, partial(step_flops, model, recipe.crop))
        if recipe.lora:
            lora.inject(model, recipe.lora, torch.Generator().manual_seed(seed))
        self.lr = schedules.build(recipe.schedule, recipe.lr, steps=self.steps, steps_per_epoch=self.steps_per_epoch)
        self.autocast_type = autocast_type(recipe.precision, device)
        if processes() > 1 and device.type == "cpu":
            # Processors round parts of a batch in bfloat16 otherwise than the whole.
            self.autocast_type = None
        self.model = model.to(device, memory_format=torch.channels_last)
        self.common_diameter = COMMON_DIAMETERS[recipe.augmentation] if recipe.rescale else None
        self.loss = LOSSES[recipe.target]
        self.keeping = way_of(recipe.keep)
        self.keeping.prepare(self.model)
        self.network = SharedNetwork(self.model, recipe.batch) if processes() > 1 else self.model
        self.keeping.start(Start(self.model, recipe.target, self.loss, self._predict, self._old_crops))
        _record_diameters(model, self.sampler.mean_diameter, self.common_diameter)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = optimiser.build(recipe, trained)
        self.average = WeightAverage(trained, recipe.average) if recipe.average else None
        self.feed = Feed(self.sampler, self.generator, partial(self._augment, generator=self.generator), self.steps)
        # What a network draws itself in training: which of its blocks are skipped, or which images go on though they may halt.
        self.draws = torch.Generator().manual_seed(seed)
        if hasattr(model, "draws"):
            model.draws = self.draws
        self.supervision = Supervision(self.feed, model, self.network, self._predict, self.draws)
        self.step = 0
        self.rows: list[list[float]] = []
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.earlier_seconds = 0.0
        self.start = time.monotonic()

    def advance(self) -> Tensor:
        """Make one optimiser step; the loss stays on the device."""
        self.model.train()
        self.keeping.prepare(self.model)
        with lora.computed_once(self.model):
            output, labels, flows = self.supervision.forward()
            loss = self.loss(output, labels, flows)
            kept = self.keeping.loss(self.supervision.images, output)
            if kept is not None:
                loss = loss + kept
            self.optimiser.zero_grad()
            loss.backward()
        optimiser.step(self.optimiser, self.lr(self.step), self.recipe.gradient_clip)
        self.keeping.after_step(partial(optimiser.rates, self.optimiser))
        if self.average:
            self.average.update()
        self.step += 1
        self.loss_sum += loss.detach()
        return loss.detach()

    def add_row(self) -> None:
        """Add a row to the log: mean training loss since the last row, and validation loss."""
        since = self.step - (int(self.rows[-1][0]) if self.rows else 0)
        train_loss = self.loss_sum.item() / since
        if not math.isfinite(train_loss):
            raise FloatingPointError(
                f"the training loss is {train_loss} at step {self.step}: the run diverged; lower the learning rate"
            )
        self.loss_sum.zero_()
        epoch = self.step / self.steps_per_epoch
        with self._as_kept():
            self.rows.append([self.step, epoch, self.lr(self.step - 1), train_loss, self._validate()])

    def write(self, weights: str | Path, adapters: str | Path | None = None) -> None:
        """Write the checkpoint: the running mean of the weights if one is kept, changes of adapters added in."""
        with self._as_kept():
            checkpoints.save_tensors(lora.merged(self.model), weights)
            if adapters is not None:
                lora.save(self.model, adapters)

    def _as_kept(self) -> AbstractContextManager[None]:
        return self.average.in_place() if self.average else nullcontext()

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.memory if self.average else [],
            "feed": self.feed.state_dict(),
            "supervision": self.supervision.state_dict(),
            "step": torch.tensor(self.step),
            "rows": torch.tensor(self.rows, dtype=torch.float64).reshape(-1, len(LOG_COLUMNS)),
            "loss_sum": self.loss_sum,
            "seconds": torch.tensor(self.seconds, dtype=torch.float64),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        for kept, saved in zip(self.average.memory if self.average else [], state["average"], strict=True):
            kept.copy_(saved)
        self.supervision.load_state_dict(state["supervision"])
        self.step = int(state["step"])
        self.feed.load_state_dict(state["feed"], self.steps - self.step)
        self.rows = state["rows"].tolist()
        self.loss_sum.copy_(state["loss_sum"])
        self.earlier_seconds = state["seconds"].item()

    def stamp(self) -> str:
        """Hash of all that decides the result: recipe, seed, code, starting weights, and patches."""
        recipe = self.recipe.model_dump()
        del recipe["save_every"]
        parameters = {
            "recipe": recipe,
            "seed": self.seed,
            "min_cells": self.min_cells,
            "device": self.device.type,
            "autocast": str(self.autocast_type),
            "code": fingerprint(__name__, type(self.model).__module__, type(self.keeping).__module__),
            "sources": [[source.name, source.share] for source in self._all_sources],
            "patches": [_patches_key(source.patches) for source in self._all_sources],
            "validation": [_patches_key(patches) for patches in self.validation],
        }
        indices = {f"indices {number}": source.indices for number, source in enumerate(self._all_sources)}
        return stamp_of(parameters, {**self.model.state_dict(), **indices})

    @property
    def _all_sources(self) -> list[Source]:
        return [*self.sources, *self.parent_sources]

    def _old_crops(self, patches: int) -> Iterator[Crops]:
        """Patches that the parent was trained on last, one at a time, augmented as in training."""
        if not self.parent_sources:
            raise ValueError(
                f"{self.recipe.keep.method!r} needs the patches of the parent's stage; give `parent_sources`"
            )
        generator = torch.Generator().manual_seed(self.seed)
        sampler = Sampler(self.parent_sources, 1, self.min_cells, generator)
        return (self._augment(sampler.draw(), generator) for _ in range(patches))

    def _augment(self, batch: Batch, generator: torch.Generator) -> Crops:
        crops = (self._send(part) for part in (batch.images, batch.labels, batch.flows))
        options = {"size": self.recipe.crop, "channels": self.model.in_channels}
        options["rescale"] = self._zoom(batch.diameters) if self.recipe.rescale else None
        if self.recipe.augmentation == "ucell":
            return random_stretch(*crops, generator, **options)
        return random_affine(*crops, generator, scale_range=self.recipe.scales, **options)

    def _zoom(self, diameters: Tensor) -> Tensor:
        return zoom_to_diameter(diameters, self.common_diameter)

    def _send(self, part: Tensor) -> Tensor:
        """Part of a batch on the device; a GPU fetches it while the processor goes on."""
        if self.device.type == "cuda":
            part = part.pin_memory()
        return part.to(self.device, non_blocking=True)

    def _predict(self, network: nn.Module, *inputs: Tensor) -> Any:
        with torch.autocast(self.device.type, self.autocast_type, enabled=self.autocast_type is not None):
            return network(*inputs)

    @torch.no_grad()
    def _validate(self) -> float:
        if not self.validation:
            return math.nan
        self.model.eval()
        return validation_loss(
            partial(self._predict, self.model),
            self.loss,
            self.validation,
            batch=self.recipe.batch,
            size=self.recipe.crop,
            channels=self.model.in_channels,
            zoom=self._zoom if self.recipe.rescale else None,
            device=self.device,
        )

    @property
    def seconds(self) -> float:
        """Wall time, the parts of killed runs that counted included."""
        return self.earlier_seconds + time.monotonic() - self.start


class Supervision:
    """Forward passes of the optimiser steps of a run.

    Most networks learn from a batch once. A recursive one (with attributes ``recursion``, ``carry`` and ``halting``, such as
    `frugalseg.models.ucell.UCell`) learns from it M times, each time from the state where the time before ended. With a
    threshold for halting, images whose flow error is below it leave the batch, half of them each time.

    `network` is what is called: `model`, or what shares it among processes. `images` are those of the last forward pass. The
    generator says which images go on though they may halt.
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
        """Whether the next step takes a new batch: where a run can be interrupted."""
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


def supervised_steps(model: nn.Module) -> int:
    """Optimiser steps that a network makes with a batch: M of a recursive one, else one."""
    return model.recursion.supervised if hasattr(model, "recursion") else 1


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """Type that the network computes in under autocast, or None for plain float32.

    ``auto`` is bfloat16 on CUDA and on processors with bfloat16 instructions (AVX-512 BF16 or AMX); without them it is
    emulated, and slower than float32.
    """
    if precision == "auto":
        if device.type == "cpu":
            capabilities = torch.cpu.get_capabilities()
            has_bfloat16 = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
        else:
            has_bfloat16 = device.type == "cuda"
        return torch.bfloat16 if has_bfloat16 else None
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"there is no precision {precision!r}; known: auto, float32, bfloat16")
    return torch.bfloat16 if precision == "bfloat16" else None


def zoom_to_diameter(diameters: Tensor, common: float) -> Tensor:
    """Magnification (B,) that brings patches of mean diameters (B,) to a common one, in pixels; 1 for those without a cell."""
    return torch.where(diameters > 0, common / diameters.clamp(min=SMALLEST_DIAMETER), 1.0)


def _record_diameters(model: nn.Module, mean_diameter: float, common_diameter: float | None) -> None:
    """Write the training diameters into the model, where Cellpose looks for the scale to predict at.

    A network that saw patches at their own scale should see test images so too: Cellpose magnifies by
    ``diam_mean / diam_labels``.
    """
    if hasattr(model, "diam_labels") and mean_diameter > 0:
        model.diam_labels.fill_(mean_diameter)
        model.diam_mean.fill_(common_diameter or mean_diameter)


def _patches_key(patches: Patches) -> str:
    """Hash of a store: its table, and a few patches in full, spread over it."""
    rows = np.unique(np.linspace(0, len(patches) - 1, 16, dtype=np.int64))
    arrays = {name: getattr(patches, name)[rows] for name in ("images", "labels", "flows")}
    return stamp_of({"table": patches.table.to_csv(index=False), "shape": patches.images.shape}, arrays)
