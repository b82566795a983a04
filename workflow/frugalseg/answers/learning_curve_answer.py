"""How many more images: everything that is said of a learning curve, before it is put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from frugalseg.answers.learning_curve_data import MeasuredCurve
from frugalseg.statistics.comparisons import Comparison, compare
from frugalseg.statistics.intervals import Estimate, crossed_mean
from frugalseg.statistics.learning_curve import Forecast, amount_to_reach, area_under_curve, forecast

#: What a curve is drawn over: annotated images, and the cells in them.
UNITS = ("images", "instances")


@dataclass(frozen=True)
class Answer:
    """What is said of a learning curve.

    Attributes
    ----------
    measured : MeasuredCurve
    scores : tuple of Estimate
        Mean score of each chain.
    forecasts : mapping of str to Forecast
        By unit.
    comparisons : mapping of str to Comparison
        Every chain but the last against the last, by chain.
    area : Estimate
        Under the curve over the logarithm of the images.
    reach : Estimate
        Images that bring 95 % of the score of all.
    """

    measured: MeasuredCurve
    scores: tuple[Estimate, ...]
    forecasts: Mapping[str, Forecast]
    comparisons: Mapping[str, Comparison]
    area: Estimate
    reach: Estimate

    @property
    def saturated_from(self) -> int | None:
        """Row of the fewest data shown to be equal to all, as are all rows after it; None where no row is."""
        row = len(self.measured.chains) - 1
        while row > 0 and self.comparisons[self.measured.chains[row - 1]].equivalence.holds:
            row -= 1
        return row if row < len(self.measured.chains) - 1 else None


def answer(measured: MeasuredCurve, block: Mapping[str, Any], generator: np.random.Generator) -> Answer:
    """Work out what a learning curve says.

    Parameters
    ----------
    measured : MeasuredCurve
    block : mapping
        Its block of ``learning_curves`` in the config; ``margin`` and ``draws`` are used.
    generator : np.random.Generator
        Draws seeds and images anew.

    Raises
    ------
    ValueError
        When the curve is none, see `frugalseg.statistics.learning_curve.check_curve`.
    """
    scores, images = measured.scores, measured.amounts["images"].to_numpy()
    forecasts = {
        unit: forecast(measured.amounts[unit].to_numpy(), scores, block["margin"], generator, draws=block["draws"])
        for unit in UNITS
    }
    return Answer(
        measured=measured,
        scores=tuple(map(crossed_mean, scores)),
        forecasts=forecasts,
        comparisons=compare(dict(zip(measured.chains[:-1], scores[:-1], strict=True)), scores[-1], block["margin"]),
        area=area_under_curve(images, scores),
        reach=amount_to_reach(images, scores, generator, draws=block["draws"]),
    )


def to_table(found: Answer) -> pd.DataFrame:
    """Everything measured and foreseen as one tidy table.

    Returns
    -------
    pd.DataFrame
        A row a chain, of the kind "measured", and one of the kind "foreseen" for twice the images of the last. ``mean``
        with the ends of its interval; ``std_images`` is the spread over images of one run, averaged over the runs, and
        ``std_runs`` that of the runs' means, as in the published tables. ``difference`` is to the last chain, with its
        interval, ``p`` by Wilcoxon and Holm, ``p_equal`` by two one-sided tests and whether these call both ``equal``.
    """
    measured, rows = found.measured, []
    for number, chain in enumerate(measured.chains):
        scores, estimate = measured.scores[number], found.scores[number]
        row = {"kind": "measured", "chain": chain, **measured.amounts.iloc[number].to_dict(), **_ends("mean", estimate)}
        row["std_images"] = scores.std(axis=1, ddof=1).mean()
        row["std_runs"] = scores.mean(axis=1).std(ddof=1) if len(scores) > 1 else np.nan
        rows.append(row | (_compared(found.comparisons[chain]) if chain in found.comparisons else {}))
    doubling = found.forecasts["images"].doubling
    last = measured.amounts.iloc[-1]
    foreseen = {"kind": "foreseen", "chain": measured.chains[-1], **(2 * last).to_dict()}
    foreseen |= _ends("mean", doubling.score) | _ends("difference", doubling.gain)
    return pd.DataFrame([*rows, foreseen])


def _compared(comparison: Comparison) -> dict[str, Any]:
    equal = comparison.equivalence
    return {
        **_ends("difference", comparison.difference),
        "p": comparison.p,
        "p_equal": equal.p,
        "equal": equal.holds,
    }


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
