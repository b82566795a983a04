"""What stands beside a model that was made without a step of training: the log and the description of none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalseg.runtime.energy import Meter
from frugalseg.training import provenance
from frugalseg.training.loop import write_log


def write_no_steps(
    chain: str,
    recipe: str,
    seed: int,
    *,
    config: Mapping[str, Any],
    meter: Meter,
    log: str | Path,
    description: str | Path,
) -> None:
    """Write ``log.csv`` and ``model.json`` of a model that was not trained.

    Parameters
    ----------
    chain, recipe, seed : str, str, int
        The model's name.
    config : mapping
        The config keys that matter for a model: ``recipe`` (the block), ``bins`` and ``min_cells``.
    meter : Meter
        Time and energy that making it took; whoever adds the energy of a study up needs that of every model.
    log, description : str or Path
        Files to write.
    """
    write_log([], Path(log))
    provenance.write(
        provenance.describe(
            chain=chain,
            recipe=recipe,
            config=config,
            seed=seed,
            device="cpu",
            sources=[],
            steps=0,
            loss=None,
            validation_loss=None,
            seconds=round(meter.seconds, 3),
            precision="float32",
            joules=meter.joules,
            processes=1,
        ),
        description,
    )
