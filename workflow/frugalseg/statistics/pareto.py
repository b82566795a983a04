"""The Pareto front: what nothing else beats on everything at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.statistics.tests import check_values


def pareto_front(scores: ArrayLike) -> NDArray[np.bool_]:
    """Which of several options are on the Pareto front, by their scores, of which larger is better.

    Parameters
    ----------
    scores : array_like
        (options, scores).

    Returns
    -------
    np.ndarray
        (options,) bool. An option is off the front where another is at least as good in every score and better in one.
        Options that are equal in all do not beat each other: they are on it together or off it together.

    Raises
    ------
    ValueError
        If `scores` is not (options, scores) of finite numbers.
    """
    scores = check_values(scores, "scores", ("options", "scores"))
    # [i, j]: j against i.
    no_worse = (scores[None] >= scores[:, None]).all(axis=2)
    better = (scores[None] > scores[:, None]).any(axis=2)
    return ~(no_worse & better).any(axis=1)
