"""Is a difference real: tests paired by test image, corrected for their number, and the edge of a plateau.

Values are scores of which larger is better, in arrays (seeds, images); the images are the same for every seed and model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wilcoxon


@dataclass(frozen=True)
class CapAgainstFull:
    """A capped net compared with the full one.

    Attributes
    ----------
    cap : int
        Most channels of a stage.
    loss : float
        Mean accuracy of the full net less that of the capped one.
    p : float
        One-sided p-value of "worse by the margin or more", Holm-corrected over the caps; small speaks for the cap.
    not_worse : bool
        Whether the loss is within the margin and `p` at most alpha.
    """

    cap: int
    loss: float
    p: float
    not_worse: bool


@dataclass(frozen=True)
class Plateau:
    """Where accuracy stops to rise: the smallest cap that is, like all larger ones, not worse than the full net."""

    edge: int
    comparisons: tuple[CapAgainstFull, ...]


def signed_rank(differences: ArrayLike, alternative: Literal["two-sided", "greater", "less"] = "two-sided") -> float:
    """P-value of Wilcoxon's signed-rank test that paired differences (N,) are symmetric about zero; 1 if all are zero.

    Zeros are left out (Wilcoxon 1945) and equal sizes share the mean of their ranks. Exact up to 50 differences without
    ties and up to 13 with ties, normal with correction for ties and continuity beyond.
    """
    differences = check_values(differences, "differences", ("pairs",))
    differences = differences[differences != 0]
    if len(differences) == 0:
        return 1.0
    return float(min(1.0, wilcoxon(differences, alternative=alternative, correction=True).pvalue))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values (N,) corrected for their number by the step-down method of Holm (1979), in the order given."""
    p_values = check_values(p_values, "p-values", ("tests",))
    if p_values.min() < 0 or p_values.max() > 1:
        raise ValueError(f"p-values: must be from 0 to 1, not from {p_values.min():g} to {p_values.max():g}")
    order = p_values.argsort(kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def plateau_edge(accuracy: Mapping[int, ArrayLike], margin: float, alpha: float = 0.05) -> Plateau:
    """The smallest cap of the width that is not worse than the full net by a margin.

    Each cap takes a test of non-inferiority: only where "worse by the margin or more" is rejected is the cap called "not
    worse". A test that merely finds no difference would pass a cap the more readily the fewer images there are.

    Parameters
    ----------
    accuracy : mapping of int to array_like
        Cap -> (seeds, images); seeds may differ in number, images may not. The largest cap is the full net.
    margin : float
        The loss of accuracy that does not matter, above 0.
    alpha : float
        Probability, at most, that any cap is called not worse which is worse by the margin or more.

    Returns
    -------
    Plateau
        The edge is the full net where no cap can be shown not worse. A cap below one that fails does not count.

    Notes
    -----
    With d the accuracy of the cap less that of the full net on an image, each the mean over its seeds: the loss
    -mean(d) must be at most the margin, and the one-sided signed-rank test of d + margin > 0, Holm-corrected over the
    caps, must reject at alpha. Images are what the test generalises over; the seeds are only averaged. With n images no
    p-value is below 2^-n, so m caps need at least log2(m / alpha) images for a claim about all of them.
    """
    if margin <= 0:
        raise ValueError(f"margin: must be above 0, not {margin}; give the loss of accuracy that does not matter")
    check_fraction(alpha, "alpha")
    if len(accuracy) < 2:
        raise ValueError(f"accuracy: has {len(accuracy)} caps; give the full net and at least one smaller cap")
    means = {
        cap: check_values(accuracy[cap], f"accuracy of cap {cap}", ("seeds", "images")).mean(axis=0)
        for cap in sorted(accuracy, reverse=True)
    }
    full, *caps = means
    for cap in caps:
        check_same_images(means[cap], means[full], f"cap {cap}", f"cap {full}")
    p_values = holm([signed_rank(means[cap] - means[full] + margin, "greater") for cap in caps])
    losses = [float((means[full] - means[cap]).mean()) for cap in caps]
    comparisons = tuple(
        CapAgainstFull(cap, loss, float(p), bool(loss <= margin and p <= alpha))
        for cap, loss, p in zip(caps, losses, p_values, strict=True)
    )
    edge = full
    for comparison in comparisons:
        if not comparison.not_worse:
            break
        edge = comparison.cap
    return Plateau(edge, comparisons)


def check_values(values: ArrayLike, name: str, axes: tuple[str, ...]) -> NDArray[np.float64]:
    """The values as float64; ValueError if they have other axes than `axes`, are none, or are not finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(axes) or array.size == 0:
        raise ValueError(f"{name}: must be an array ({', '.join(axes)}) that is not empty, not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name}: {int((~np.isfinite(array)).sum())} of {array.size} are NaN or infinite; take them out"
        )
    return array


def check_same_images(values: NDArray, others: NDArray, name: str, other_name: str) -> None:
    """ValueError if two arrays have not as many images, their last axis."""
    if values.shape[-1] != others.shape[-1]:
        raise ValueError(
            f"{name} and {other_name}: have {values.shape[-1]} and {others.shape[-1]} images; give the same images, "
            "in one order"
        )


def check_fraction(value: float, name: str) -> None:
    """ValueError if a probability is not between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name}: must be between 0 and 1, not {value}")
