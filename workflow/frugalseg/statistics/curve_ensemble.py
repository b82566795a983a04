"""All families of learning curves together: fitted to what was measured and to what might have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalseg.statistics.curve_draws import draw_curves, score_variances
from frugalseg.statistics.curve_families import FAMILIES, Fit, family_weights, fit


@dataclass(frozen=True)
class Ensemble:
    """Every family fitted to a curve and to D curves drawn from it.

    Attributes
    ----------
    weights : np.ndarray
        (F,) of the families, in the order of `FAMILIES`.
    fits : mapping of str to Fit
        Family -> its fit to the curve as it was measured.
    drawn_fits : mapping of str to Fit
        Family -> its fits to the drawn curves.
    families : np.ndarray
        (D,) number of the family that was drawn for each drawn curve, as likely as its weight there.
    """

    weights: NDArray
    fits: Mapping[str, Fit]
    drawn_fits: Mapping[str, Fit]
    families: NDArray

    def by_family(self, amounts: NDArray) -> NDArray:
        """(F, X): what each family says of some amounts, going by what was measured."""
        return np.stack([fits.predict(amounts)[0] for fits in self.fits.values()])

    def mean(self, amounts: NDArray) -> NDArray:
        """(X,): the mean of the families by their weights."""
        return self.weights @ self.by_family(amounts)

    def drawn(self, amounts: NDArray) -> NDArray:
        """(D, X): every drawn curve by the family that was drawn for it."""
        chosen = np.empty((len(self.families), len(amounts)))
        for number, fits in enumerate(self.drawn_fits.values()):
            rows = self.families == number
            chosen[rows] = Fit(fits.family, fits.level[rows], fits.rise[rows], fits.shape[rows]).predict(amounts)
        return chosen


def fit_ensemble(amounts: NDArray, values: NDArray, generator: np.random.Generator, draws: int) -> Ensemble:
    """Fit every family to a learning curve and to curves drawn from it.

    Parameters
    ----------
    amounts : np.ndarray
        (R,), growing.
    values : np.ndarray
        (R, S, I): scores in [0, 1] for every seed on the same test images.
    generator : np.random.Generator
    draws : int
        Number D of drawn curves.
    """
    variances = score_variances(values)
    measured = values.mean(axis=(1, 2))[None]
    drawn = draw_curves(values, generator, draws)
    return Ensemble(
        weights=family_weights(amounts, measured, variances)[0],
        fits={name: fit(family, amounts, measured, 1 / variances) for name, family in FAMILIES.items()},
        drawn_fits={name: fit(family, amounts, drawn, 1 / variances) for name, family in FAMILIES.items()},
        families=_draw_families(family_weights(amounts, drawn, variances), generator),
    )


def _draw_families(weights: NDArray, generator: np.random.Generator) -> NDArray[np.int64]:
    """(D, F) -> (D,): a family for every drawn curve, as likely as its weight."""
    drawn = (generator.random((len(weights), 1)) > weights.cumsum(axis=1)).sum(axis=1)
    # Rounding may leave the sum of the weights just below 1.
    return np.minimum(drawn, weights.shape[1] - 1)
