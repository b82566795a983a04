"""Families of learning curves: fitted to many curves at once, and weighed by how well they foresee larger amounts.

Every family is score = level + rise * basis(amount; shape) with a basis that rises with the amount and a rise of at least
0. For a given shape that is linear least squares; the shape is the best of a list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The best score there is: no curve goes beyond it.
CEILING = 1.0
#: Amounts from which larger ones are foreseen: as many as a family has parameters.
FEWEST = 3

#: The question is the next doubling: of what is held out, amounts up to so many times as large count, and the next one.
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
    """A family fitted to D curves.

    Attributes
    ----------
    family : Family
    level, rise, shape : np.ndarray
        (D,) each.
    """

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
    """Fit a family to D curves by weighted least squares.

    Parameters
    ----------
    family : Family
    amounts : np.ndarray
        (R,), growing, above 0.
    scores : np.ndarray
        (D, R) in [0, 1].
    weights : np.ndarray
        (R,) above 0, the inverse of the scores' variances.

    Returns
    -------
    Fit
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
    """Mean squared error with which each family foresees larger amounts from smaller ones.

    Parameters
    ----------
    amounts, scores, weights
        As of :func:`fit`.

    Returns
    -------
    np.ndarray
        (C, D, F): each family is fitted to the first 3, 4, ... R - 1 amounts, and its squared errors at the next one and
        all up to four times as large averaged; C = R - 3 such cuts.
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
    """Weights of the families by how well they foresee larger amounts, never by how well they fit.

    Parameters
    ----------
    amounts, scores
        As of :func:`fit`.
    variances : np.ndarray
        (R,) of the scores, by which no foresight can be better than chance.

    Returns
    -------
    np.ndarray
        (D, F), rows add up to 1, in the order of `FAMILIES`. All the same where fewer than 4 amounts leave nothing to
        foresee.

    Notes
    -----
    A weight is the product over the cuts of 1 / mean squared error. A product, and not a mean over the cuts, since errors
    from the first few amounts are far larger than those that matter, from all but the last. The variance of the scores
    is added to each error, lest one lucky hit take all the weight.
    """
    errors = foresight_errors(amounts, scores, 1 / variances)
    chance = np.array([variances[_held_out(amounts, cut)].mean() for cut in range(FEWEST, len(amounts))])
    logarithms = -np.log(errors + chance[:, None, None]).sum(axis=0)
    weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


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
