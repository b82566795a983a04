"""Many verdicts at once: how surely each is reached, and how many of those reached are false (Benjamini & Hochberg 1995).

A verdict is reached by an interval that lies wholly on one side of a bound. Its p value is the smallest error probability,
1 less the level of the interval, at which it still does: at most 0.05 where the interval of 95 % decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from scipy.optimize import brentq
from scipy.stats import false_discovery_control

# Beyond it levels are too near to 1 for an interval to be trusted.
SMALLEST = 1e-6


def p_of_verdict(decided: Callable[[float], bool]) -> float:
    """The smallest error probability at which a verdict is reached; `decided` says whether at a level. 1 if never.

    Intervals grow with their level, so what one level decides every lower one does.
    """
    if decided(1 - SMALLEST):
        return SMALLEST
    if not decided(SMALLEST):
        return 1.0

    def side(logarithm: float) -> float:
        return 1.0 if decided(1 - math.exp(logarithm)) else -1.0

    return math.exp(brentq(side, math.log(SMALLEST), math.log(1 - SMALLEST), xtol=1e-3))


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """For every verdict the share of false ones to expect among all that are reached at least as surely."""
    return [float(q) for q in false_discovery_control(list(p_values), method="bh")] if len(p_values) else []
