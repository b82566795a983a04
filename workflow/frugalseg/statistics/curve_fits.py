"""Families of learning curves: fitted to many curves at once, and weighed by how well they foresee larger amounts.

Every family is score = level + rise * basis(amount; shape) with a basis that rises with the amount and a rise of at least
0. For a given shape that is linear least squares; the shape is the best of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalseg.statistics.curve_draws import draw_curves, score_variances
from frugalseg.statistics.seed_variance import Prior

#: The best score there is: no curve goes beyond it.
CEILING = 1.0
#: Amounts from which larger ones are foreseen: as many as a family has parameters.
FEWEST = 3

# Held-out amounts count if they are at most so many times the largest fitted one; the next one always counts.
_FAR = 4
# So close that the shape of a curve is no coarser than what its scores tell.
_SHAPES = 96


@dataclass(frozen=True)
class Family:
    """A family of rising curves.

    Attributes
    ----------
    formula : str
        The curve with a level, a rise, the amount n and the shape k or b.
    shapes : callable
        Amounts -> (T,) the shapes to choose from.
    basis : callable
        (X,) amounts, (T, 1) shapes -> (T, X).
    levels_off : bool
        Whether the basis tends to 0 from below as the amount grows: the level is then the asymptote.
    last : int or None
        Only so many of the largest amounts are fitted; None fits all.
    """

    formula: str
    shapes: Callable[[NDArray], NDArray]
    basis: Callable[[NDArray, NDArray], NDArray]
    levels_off: bool
    last: int | None = None


@dataclass(frozen=True)
class Fit:
    """A family fitted to D curves; level, rise and shape are (D,) each."""

    family: Family
    level: NDArray
    rise: NDArray
    shape: NDArray

    def predict(self, amounts: NDArray) -> NDArray:
        """Scores at some amounts, (X,) -> (D, X), none above the ceiling."""
        basis = self.family.basis(amounts, self.shape[:, None])
        return np.minimum(self.level[:, None] + self.rise[:, None] * basis, CEILING)


def _scales(amounts: NDArray) -> NDArray:
    """Amounts at which a curve may bend: from well below the smallest to well beyond the largest."""
    return np.geomspace(amounts.min() / 4, amounts.max() * 4, _SHAPES)


def _logarithm(amounts: NDArray, shapes: NDArray) -> NDArray:
    return np.repeat(np.log(amounts)[None], len(shapes), axis=0)


def _one_shape(amounts: NDArray) -> NDArray:
    return np.ones(1)


#: "Flat" says that data no longer matter; "logarithmic" never levels off, and "last three" is the same where the curve is
#: now, for curves that rise faster than at first; the others level off, each in its own time.
FAMILIES: dict[str, Family] = {
    "flat": Family("level", _one_shape, lambda n, k: np.zeros((len(k), len(n))), True),
    "logarithmic": Family("level + rise log(n)", _one_shape, _logarithm, False),
    "last three": Family("level + rise log(n), of the three largest n", _one_shape, _logarithm, False, last=3),
    "power law": Family(
        "level - rise n^-b", lambda amounts: np.geomspace(0.1, 3, _SHAPES), lambda n, b: -(n ** (-b)), True
    ),
    "exponential": Family("level - rise exp(-n / k)", _scales, lambda n, k: -np.exp(-n / k), True),
    "inverse": Family("level - rise / (1 + n / k)", _scales, lambda n, k: -1 / (1 + n / k), True),
}


def fit(family: Family, amounts: NDArray, scores: NDArray, weights: NDArray) -> Fit:
    """Fit a family to D curves, scores (D, R), by least squares with weights (R,).

    Rises are at least 0, and no asymptote is above `CEILING`. Two amounts fix no shape: it is then the middle one.
    """
    shapes = family.shapes(amounts)
    if len(amounts) < FEWEST:
        shapes = shapes[[len(shapes) // 2]]
    basis = family.basis(amounts, shapes[:, None])
    if family.last is not None:
        weights = np.where(np.arange(len(amounts)) < len(amounts) - family.last, 0, weights)
    weights = weights / weights.sum()
    centre = basis @ weights
    mean = scores @ weights
    centred = basis - centre[:, None]
    spread = (centred**2) @ weights
    slope = (scores * weights) @ centred.T / np.where(spread > 0, spread, 1)
    rise = np.where(spread > 0, np.maximum(slope, 0), 0)
    level = mean[:, None] - rise * centre
    if family.levels_off:
        rise, level = _below_ceiling(rise, level, basis, scores, weights)
    residuals = scores[:, None] - level[..., None] - rise[..., None] * basis
    best = ((residuals**2) @ weights).argmin(axis=1)
    rows = np.arange(len(scores))
    return Fit(family, level[rows, best], rise[rows, best], shapes[best])


def foresight_errors(amounts: NDArray, scores: NDArray, weights: NDArray) -> NDArray:
    """Mean squared error with which each family foresees larger amounts from smaller ones: (C cuts, D, F).

    Each family is fitted to the first 3, 4, ... R - 1 amounts, and its squared errors at the next one and all up to four
    times as large averaged.
    """
    cuts = range(FEWEST, len(amounts))
    errors = np.empty((len(cuts), len(scores), len(FAMILIES)))
    for number, family in enumerate(FAMILIES.values()):
        for place, cut in enumerate(cuts):
            held_out = _held_out(amounts, cut)
            foreseen = fit(family, amounts[:cut], scores[:, :cut], weights[:cut]).predict(amounts[held_out])
            errors[place, :, number] = ((foreseen - scores[:, held_out]) ** 2).mean(axis=1)
    return errors


def family_weights(amounts: NDArray, scores: NDArray, variances: NDArray) -> NDArray:
    """Weights (D, F) of the families by how well they foresee larger amounts, never by how well they fit.

    A weight is the product over the cuts of 1 / mean squared error. A product, and not a mean over the cuts, since errors
    from the first few amounts are far larger than those that matter, from all but the last. The variance of the scores
    is added to each error, lest one lucky hit take all the weight. Fewer than 4 amounts leave nothing to foresee: all
    weights are then the same.
    """
    errors = foresight_errors(amounts, scores, 1 / variances)
    chance = np.array([variances[_held_out(amounts, cut)].mean() for cut in range(FEWEST, len(amounts))])
    logarithms = -np.log(errors + chance[:, None, None]).sum(axis=0)
    weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Ensemble:
    """Every family fitted to a curve and to D curves drawn from it.

    `weights` (F,) are those of the families, `families` (D,) the number of the family drawn for each drawn curve.
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


def fit_ensemble(
    amounts: NDArray, values: NDArray, generator: np.random.Generator, draws: int, prior: Prior | None = None
) -> Ensemble:
    """Fit every family to a learning curve, (R,) amounts and (R, S, I) scores, and to curves drawn from it."""
    variances = score_variances(values, prior)
    measured = values.mean(axis=(1, 2))[None]
    drawn = draw_curves(values, generator, draws, prior)
    return Ensemble(
        weights=family_weights(amounts, measured, variances)[0],
        fits={name: fit(family, amounts, measured, 1 / variances) for name, family in FAMILIES.items()},
        drawn_fits={name: fit(family, amounts, drawn, 1 / variances) for name, family in FAMILIES.items()},
        families=_draw_families(family_weights(amounts, drawn, variances), generator),
    )


def _held_out(amounts: NDArray, cut: int) -> slice:
    """The amounts to be foreseen from the first `cut`."""
    near = int((amounts <= _FAR * amounts[cut - 1]).sum())
    return slice(cut, max(near, cut + 1))


def _below_ceiling(
    rise: NDArray, level: NDArray, basis: NDArray, scores: NDArray, weights: NDArray
) -> tuple[NDArray, NDArray]:
    """Where the asymptote is above the ceiling, the best curve whose asymptote is the ceiling."""
    squares = (basis**2) @ weights
    held = ((scores - CEILING) * weights) @ basis.T / np.where(squares > 0, squares, 1)
    beyond = level > CEILING
    return np.where(beyond, np.maximum(held, 0), rise), np.where(beyond, CEILING, level)


def _draw_families(weights: NDArray, generator: np.random.Generator) -> NDArray[np.int64]:
    """(D, F) -> (D,): a family for every drawn curve, as likely as its weight."""
    drawn = (generator.random((len(weights), 1)) > weights.cumsum(axis=1)).sum(axis=1)
    # Rounding may leave the sum of the weights just below 1.
    return np.minimum(drawn, weights.shape[1] - 1)
