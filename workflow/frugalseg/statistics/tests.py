"""Is a difference real: tests paired by test image, corrected for their number.

Values are scores of which larger is better, in arrays (seeds, images); the images are the same for every seed and model.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control, wilcoxon


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


def false_discovery(p_values: ArrayLike) -> NDArray[np.float64]:
    """(N,) p-values -> for each the share of false ones to expect among those as small (Benjamini & Hochberg 1995)."""
    return false_discovery_control(p_values) if len(p_values) else np.zeros(0)


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
