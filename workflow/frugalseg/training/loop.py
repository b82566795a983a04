"""The one training loop: patches in, a checkpoint and a log out, the same bits also when it is killed on the way."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from frugalseg.data.stores import Patches
from frugalseg.runtime.files import write_text
from frugalseg.runtime.progress import Progress
from frugalseg.training.distributed import leads, of_first
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import LOG_COLUMNS, Run
from frugalseg.training.sampling import Count, Source
from frugalseg.training.state import hold


@dataclass(frozen=True)
class Result:
    """What a run found."""

    steps: int
    loss: float  # mean over the steps of the last row of the log
    validation_loss: float  # of the final weights; NaN without validation patches
    counts: list[Count]
    seconds: float  # of training, the parts of killed runs that counted included
    precision: str


def train(
    model: nn.Module,
    sources: Sequence[Source],
    recipe: Recipe,
    *,
    seed: int,
    weights: str | Path,
    log: str | Path,
    state_folder: str | Path,
    adapters: str | Path | None = None,
    min_cells: int = 5,
    validation: Sequence[Patches] = (),
    parent_sources: Sequence[Source] = (),
    device: str | torch.device = "cpu",
    description: str = "training",
) -> Result:
    """Train a network on the sources of a stage and write its checkpoint.

    Run again with the same arguments after it was killed, at whatever moment, it goes on from the last saved state,
    and on the CPU, at one number of threads, the checkpoint and the log have the same bits as those of an unbroken
    run. With other arguments it starts afresh.

    Parameters
    ----------
    model : nn.Module
        With the weights to start from and an attribute ``in_channels``; trained in place. Patches with fewer channels
        get zeros for the rest.
    sources : sequence of Source
        What to draw batches from.
    recipe : Recipe
        How.
    seed : int
        Of all random numbers of the run: order of the patches and augmentation.
    weights, log : str or Path
        Checkpoint and CSV file to write; the log grows while the run goes on.
    state_folder : str or Path
        Where the running state is kept until the checkpoint is written.
    adapters : str or Path, optional
        File to write the adapters alone to, where the recipe has some.
    min_cells : int
        Patches with fewer cells are left out, and counted.
    validation : sequence of Patches
        Stores on which the loss is watched; it chooses nothing.
    parent_sources : sequence of Source
        What the weights to start from were trained on last; elastic weight consolidation looks at it.
    device : str or torch.device
        Where to train.
    description : str
        What is being trained, for the progress display.

    Raises
    ------
    ValueError
        When the recipe and the patches do not fit each other, see `Sampler`, or the recipe needs `parent_sources`.
    TakenOverError
        When another run of the same training waits for `state_folder`, which goes on from the state that was saved.
    FloatingPointError
        When the loss is no longer a finite number.
    """
    device = torch.device(device)
    run = Run(model, sources, recipe, seed, min_cells, validation, device, parent_sources)
    # Of several processes that train together the first writes the files.
    with hold(state_folder, run.stamp()) if leads() else nullcontext() as state:
        saved = of_first(state.load() if state else None)
        if saved is not None:
            run.load_state_dict(saved)
            if state:
                print(f"{description}: goes on from step {run.step} of {run.steps}", file=sys.stderr, flush=True)
        if state:
            write_log(run.rows, Path(log))
        next_save = (run.step // recipe.save_every + 1) * recipe.save_every
        with Progress(description, run.steps, run.step, silent=state is None) as progress:
            while run.step < run.steps:
                progress.advance(run.advance())
                if run.step % recipe.validate_every == 0 or run.step == run.steps:
                    run.add_row()
                    if state:
                        write_log(run.rows, Path(log))
                if state and run.step >= next_save and run.supervision.between_batches:
                    state.save(run.state_dict())
                    next_save += recipe.save_every
        if state:
            run.write(weights, adapters)
            state.remove()
    return Result(
        steps=run.step,
        loss=run.rows[-1][3],
        validation_loss=run.rows[-1][4],
        counts=run.sampler.counts,
        seconds=run.seconds,
        precision="float32" if run.autocast_type is None else "bfloat16",
    )


def write_log(rows: Sequence[Sequence[float]], path: Path) -> None:
    """Write ``log.csv``, rows of `LOG_COLUMNS`."""
    lines = [",".join("" if math.isnan(value) else f"{value:.8g}" for value in row) for row in rows]
    write_text("\n".join([",".join(LOG_COLUMNS), *lines]) + "\n", path)
