"""The edge of a plateau: how narrow a net may be without being worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike, NDArray

from frugalseg.statistics.comparisons import smallest_alpha
from frugalseg.statistics.intervals import Crossed
from frugalseg.statistics.seed_variance import Prior
from frugalseg.statistics.tests import check_fraction, check_same_images, check_values, holm, signed_rank


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


def plateau_edge(
    accuracy: Mapping[int, ArrayLike], margin: float, alpha: float = 0.05, *, prior: Prior | None = None
) -> Plateau:
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
    The loss must be at most the margin, and "worse by the margin or more" rejected at alpha, Holm-corrected over the caps.
    With a prior, for other images and other seeds: by the interval that it gives. Without, for other images alone: by the
    one-sided signed-rank test of d + margin > 0, with d the accuracy of the cap less that of the full net on an image, each the
    mean over its seeds. With n images no p-value of that is below 2^-n, so m caps need at least log2(m / alpha) images for a
    claim about all of them.
    """
    if margin <= 0:
        raise ValueError(f"margin: must be above 0, not {margin}; give the loss of accuracy that does not matter")
    check_fraction(alpha, "alpha")
    if len(accuracy) < 2:
        raise ValueError(f"accuracy: has {len(accuracy)} caps; give the full net and at least one smaller cap")
    scores = {
        cap: check_values(accuracy[cap], f"accuracy of cap {cap}", ("seeds", "images"))
        for cap in sorted(accuracy, reverse=True)
    }
    full, *caps = scores
    for cap in caps:
        check_same_images(scores[cap], scores[full], f"cap {cap}", f"cap {full}")
    p_values = holm([_worse(scores[full], scores[cap], margin, prior) for cap in caps])
    losses = [float(scores[full].mean() - scores[cap].mean()) for cap in caps]
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


def _worse(full: NDArray, capped: NDArray, margin: float, prior: Prior | None) -> float:
    """One-sided p-value of a loss of the margin or more, of (seeds, images) each."""
    if prior is None:
        return signed_rank(capped.mean(axis=0) - full.mean(axis=0) + margin, "greater")
    pair = Crossed([full, capped], prior)
    return smallest_alpha(lambda tail: pair.contrast((1.0, -1.0), 1 - 2 * tail).high < margin)
