"""The Pareto front: what nothing else beats on everything at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.statistics.tests import check_values


def pareto_front(scores: ArrayLike) -> NDArray[np.bool_]:
    """Which options (rows of (options, scores), larger is better) no other option beats; equal ones do not beat each other."""
    scores = check_values(scores, "scores", ("options", "scores"))
    # [i, j]: j against i.
    no_worse = (scores[None] >= scores[:, None]).all(axis=2)
    better = (scores[None] > scores[:, None]).any(axis=2)
    return ~(no_worse & better).any(axis=1)
