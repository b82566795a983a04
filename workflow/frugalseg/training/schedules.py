"""Learning-rate schedules: the rate of every optimiser step, by name."""

from __future__ import annotations

from collections.abc import Callable

METHODS = {
    "cellpose": "which rises over the first ten epochs and is halved at intervals at the end of long runs",
    "constant": "which stays the same",
    "warmup": "which rises over the first 12 % of the steps and falls to a fifth after 70 % of them",
    "poly": "which falls as (1 − step / steps)^0.9",
}

Schedule = Callable[[int], float]

WARMUP_SHARE = 0.12
FLAT_UNTIL = 0.7


def build(name: str, peak: float, *, steps: int, steps_per_epoch: float) -> Schedule:
    """Schedule of a run, its highest rate `peak`, from its name: a key of `METHODS`."""
    if name == "warmup":
        return warmup(peak, steps)
    if name == "cellpose":
        return cellpose(peak, round(steps / steps_per_epoch), steps_per_epoch)
    if name == "poly":
        return poly(peak, steps)
    if name == "constant":
        return lambda step: peak
    raise ValueError(f"there is no schedule {name!r}; known: cellpose, constant, poly, warmup")


def warmup(peak: float, steps: int) -> Schedule:
    """Linear rise over the first 12 % of the steps, flat until 70 %, then a fifth."""
    rising = max(1, round(WARMUP_SHARE * steps))
    flat_until = round(FLAT_UNTIL * steps)

    def lr(step: int) -> float:
        if step < rising:
            return peak * (step + 1) / rising
        return peak if step < flat_until else peak / 5

    return lr


def poly(peak: float, steps: int) -> Schedule:
    """nnU-Net's schedule, falling as ``(1 - step / steps)^0.9``; here from step to step, there from epoch to epoch."""
    return lambda step: peak * (1 - step / steps) ** 0.9


def cellpose(peak: float, epochs: int, steps_per_epoch: float) -> Schedule:
    """Cellpose 3's schedule: the rate changes from epoch to epoch.

    It rises linearly from 0 in epoch 0 to `peak` in epoch 9 and stays there. Runs of more than 300 epochs halve it
    every 10 epochs of the last 100, runs of more than 100 every 5 of the last 50; the first halving opens that span.
    """
    if epochs < 2:
        raise ValueError(
            "the schedule 'cellpose' has learning rate 0 in its first epoch and this run has no second one; "
            "raise the epochs or steps, or take the schedule 'warmup'"
        )
    halving_span, halving_every = (100, 10) if epochs > 300 else (50, 5) if epochs > 100 else (0, 1)
    halving_from = epochs - halving_span

    def lr(step: int) -> float:
        epoch = min(int(step / steps_per_epoch), epochs - 1)
        if epoch < 10:
            return peak * epoch / 9
        if epoch < halving_from:
            return peak
        return peak / 2 ** (1 + (epoch - halving_from) // halving_every)

    return lr
