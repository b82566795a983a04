"""Which cap a curve of scores chooses, how far that choice spreads, and what pure noise would choose.

A curve holds one score for each of n caps, from large to small. Its steps are d_i = |S_{i+1} - S_i|, i = 1..n-1. Both
rules look for the cap k up to which the steps are small (the plateau) and from which they are large (the collapse).
A rule maps curves (R, n) or (n,), finite and none of them constant, and the n caps to the chosen caps, (R,) or () int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frugalseg.models.unet import FULL_WIDTH

CAPS = tuple(FULL_WIDTH >> step for step in range(FULL_WIDTH.bit_length()))

Rule = Callable[[NDArray[np.floating], Sequence[int]], NDArray[np.int64]]

_FEWEST_PUBLISHED = 5
_FEWEST_FREE = 2


def published(curves: NDArray[np.floating], caps: Sequence[int]) -> NDArray[np.int64]:
    """The cap that the rule of Kimbowa et al. 2026 (equations 2 and 3) chooses from each curve of five caps or more.

    score(k) = mean(d_k .. d_{n-1}) - mean(d_1 .. d_k) on the min-max normalised curve, k = 2 .. n-3, d_k on both sides.
    The choice is the k-th cap at the best k, the largest of equally good ones. It can be neither the largest cap nor one
    of the three smallest: with ten caps from 512 to 1 it lies in 256 .. 8, see :func:`published_range`.
    """
    curves = _checked(curves, caps, _FEWEST_PUBLISHED)
    lowest = curves.min(axis=-1, keepdims=True)
    steps = np.abs(np.diff((curves - lowest) / (curves.max(axis=-1, keepdims=True) - lowest)))
    candidates = range(2, len(caps) - 2)
    scores = [steps[..., k - 1 :].mean(axis=-1) - steps[..., :k].mean(axis=-1) for k in candidates]
    return np.asarray(caps)[candidates[0] - 1 + np.argmax(scores, axis=0)]


def published_range(caps: Sequence[int]) -> tuple[int, int]:
    """The largest and the smallest cap that :func:`published` can return; a choice of either lies on its edge."""
    _check_number(caps, _FEWEST_PUBLISHED)
    return caps[1], caps[-4]


def free(curves: NDArray[np.floating], caps: Sequence[int]) -> NDArray[np.int64]:
    """The cap that the published rule, freed of its edge, chooses from each curve of two caps or more.

    score(k) = (mean(d_k .. d_n) - mean(d_0 .. d_{k-1})) sqrt(k (n + 1 - k)), k = 1 .. n, and the choice is the k-th cap
    at the best k, the largest of equally good ones. The first cap is taken to be the full network, and a network whose output
    does not depend on its input scores 0. A common factor changes no choice; a common shift does. Three things differ from
    :func:`published`:

    - The curve goes on at both ends with steps that are known. A cap above the full width gives the full network, so
      d_0 = 0. A network without channels has no sensitivity, so d_n = min(|S_n|, |S_1|): what is still there to lose, at
      most what the full network had (scores of narrow networks may shoot up, and this is no reason to trust them).
      Hence neither side is ever empty, and k runs over all caps.
    - d_k, the step down from cap k, counts as collapse alone.
    - A mean over few steps is noisy, and the published rule avoids it by leaving out the ends. Here the difference is
      weighed by the inverse of its standard error, as in any test for a change of the mean.

    Every cap can be chosen, for a curve that is flat down to cap k and then falls evenly to 0 has its best score at k:
    up to a factor, score(j) is sqrt(j / (n + 1 - j)) for j <= k and falls as sqrt((n + 1 - j) / j) for j >= k.
    """
    curves = _checked(curves, caps, _FEWEST_FREE)
    first, last = np.abs(curves[..., :1]), np.abs(curves[..., -1:])
    steps = np.concatenate([np.zeros_like(first), np.abs(np.diff(curves)), np.minimum(first, last)], axis=-1)
    number = len(caps)
    scores = [
        (steps[..., k:].mean(axis=-1) - steps[..., :k].mean(axis=-1)) * np.sqrt(k * (number + 1 - k))
        for k in range(1, number + 1)
    ]
    return np.asarray(caps)[np.argmax(scores, axis=0)]


RULES: dict[str, Rule] = {"published": published, "free": free}


def over_seeds(rule: Rule, values: NDArray[np.floating], caps: Sequence[int]) -> NDArray[np.int64]:
    """The choice of each seed, (seeds,), from scores (seeds, caps, images): S is the mean over images."""
    return rule(_checked_values(values).mean(axis=-1), caps)


def over_images(
    rule: Rule, values: NDArray[np.floating], caps: Sequence[int], *, draws: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The choice in every bootstrap draw of the images, (draws, seeds), from scores (seeds, caps, K).

    A draw takes K of the K images with replacement, the same for all caps and seeds, since the scores of one image at
    all caps belong together.
    """
    values = _checked_values(values)
    images = values.shape[-1]
    times_drawn = generator.multinomial(images, np.full(images, 1 / images), size=draws)
    curves = np.einsum("di,sci->dsc", times_drawn / images, values)
    return rule(curves.reshape(-1, curves.shape[-1]), caps).reshape(curves.shape[:2])


def distribution(choices: NDArray[np.integer], caps: Sequence[int]) -> NDArray[np.float64]:
    """Share of the choices that fell on each cap, (n,), in the order of `caps`."""
    return (np.asarray(choices).reshape(-1, 1) == np.asarray(caps)).mean(axis=0)


def noise_level(values: NDArray[np.floating]) -> float:
    """Spread for :func:`null_distribution`: standard deviation of log S over caps, the median over seeds, of positive scores."""
    curves = _checked_values(values).mean(axis=-1)
    if not (np.isfinite(curves).all() and (curves > 0).all()):
        raise ValueError("the noise of a curve is measured on its logarithm, so all scores must be positive and finite")
    return float(np.median(np.log(curves).std(axis=-1, ddof=1)))


def null_distribution(
    rule: Rule, caps: Sequence[int], *, spread: float, draws: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Share (n,) of each cap among the choices that a rule makes from pure noise, by simulation.

    The noise: the scores of all caps are independent and of one log-normal distribution, S_i = exp(`spread` z_i) with z_i
    standard normal. So they are positive, and the cap tells nothing about them. The median is 1 without loss of
    generality, since a common factor changes no choice.
    """
    if not spread > 0:
        raise ValueError(f"noise needs a spread above 0, not {spread}")
    return distribution(rule(np.exp(spread * generator.standard_normal((draws, len(caps)))), caps), caps)


class NullTest(NamedTuple):
    """How far choices lie from the null: total variation, 0 to 1, and the probability of at least that if they came from it."""

    distance: float
    p_value: float


def against_null(
    choices: NDArray[np.integer],
    null: NDArray[np.float64],
    caps: Sequence[int],
    *,
    draws: int,
    generator: np.random.Generator,
) -> NullTest:
    """Test whether the choices (m,) of several seeds can be told from what a rule chooses from pure noise, shares (n,).

    As many choices as were observed are drawn from the null, `draws` times; the p-value is the share of draws (the
    observation counted in) whose total variation distance to the null is at least the observed one. It is exact up to
    the simulation, also for a handful of seeds; but with so few it only finds large differences. The choices must be
    independent, so give it those of the seeds, not those of bootstrap draws.
    """
    choices = np.asarray(choices)
    if choices.ndim != 1 or not len(choices) or not np.isin(choices, caps).all() or len(null) != len(caps):
        raise ValueError(
            f"the test needs at least one choice, all among the caps {list(caps)}, and a null share for each cap; "
            f"not {choices.tolist()} and {len(null)} shares"
        )
    counts = (choices[:, None] == np.asarray(caps)).sum(axis=0)
    simulated = generator.multinomial(len(choices), null, size=draws)
    # In choices, twice the distance. Equal counts have equal sums to the last bit, so ties are found by >=.
    observed = np.abs(counts - len(choices) * null).sum()
    as_far = (np.abs(simulated - len(choices) * null).sum(axis=1) >= observed).sum()
    return NullTest(float(observed / len(choices) / 2), float((1 + as_far) / (1 + draws)))


def check_caps(caps: Sequence[int]) -> None:
    """Refuse caps that are not whole numbers from 512 to 1 in falling order, each once, and at least one."""
    whole = all(int(cap) == cap and 1 <= cap <= FULL_WIDTH for cap in caps)
    if not len(caps) or not whole or any(caps[i] <= caps[i + 1] for i in range(len(caps) - 1)):
        raise ValueError(
            f"caps must be whole numbers from {FULL_WIDTH} to 1 from large to small, each once, as in {list(CAPS)}; "
            f"not {list(caps)}"
        )


def _check_number(caps: Sequence[int], fewest: int) -> None:
    check_caps(caps)
    if len(caps) < fewest:
        raise ValueError(f"this rule needs at least {fewest} caps, not {len(caps)}; scan more caps")


def _checked(curves: NDArray[np.floating], caps: Sequence[int], fewest: int) -> NDArray[np.float64]:
    _check_number(caps, fewest)
    curves = np.asarray(curves, dtype=np.float64)
    if curves.ndim not in (1, 2) or curves.shape[-1] != len(caps):
        raise ValueError(f"a curve needs one score for each of {len(caps)} caps, but the scores are {curves.shape}")
    if not np.isfinite(curves).all():
        raise ValueError("a curve holds scores that are not finite, from which no cap can be chosen")
    if (curves.min(axis=-1) == curves.max(axis=-1)).any():
        raise ValueError("a curve has the same score at all caps, from which no cap can be chosen")
    return curves


def _checked_values(values: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"scores must be (seeds, caps, images), at least one of each, not {values.shape}")
    return values
