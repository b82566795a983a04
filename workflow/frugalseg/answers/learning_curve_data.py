"""A learning curve as it was measured: what every model learnt from, and its score on every test image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.answers.scores import read_scores
from frugalseg.chains import parse
from frugalseg.data.stores import read_table
from frugalseg.selection.coresets import load, take
from frugalseg.study.experiments import curve_chains, curve_models
from frugalseg.study.lineage import Model


@dataclass(frozen=True)
class MeasuredCurve:
    """Scores over what was annotated.

    Attributes
    ----------
    chains : tuple of str
        From the fewest data to all of them.
    amounts : pd.DataFrame
        A row a chain: patches, images and instances it learnt from, means over seeds.
    scores : np.ndarray
        (R, S, I): chains, seeds, test images.
    """

    chains: tuple[str, ...]
    amounts: pd.DataFrame
    scores: NDArray[np.float64]


def read_curve(
    block: Mapping[str, Any],
    metrics: Mapping[Model, str | Path],
    coresets: Sequence[str | Path],
    patches: str | Path,
    images: str | Path,
    bins: int,
) -> MeasuredCurve:
    """Read a learning curve from the files of its models and of its dataset.

    Parameters
    ----------
    block : mapping
        Its block of ``learning_curves`` in the config.
    metrics : mapping
        Model -> CSV of its metrics on the test images, a row an image.
    coresets : sequence of path
        The order of the selector for each seed.
    patches, images : path
        Tables of the dataset's training patches (column ``image``) and images (columns ``image`` and ``cells``).
    bins : int
        The study's number of bins, which sets how many patches a rate is.

    Returns
    -------
    MeasuredCurve

    Raises
    ------
    ValueError
        When a file lacks what is needed, models were scored on different images, or a number brings no more images or
        no more cells than the one before.
    """
    chains = curve_chains(block)
    shares = image_shares(read_table(patches)["image"])
    cells = read_table(images).set_index("image")["cells"]
    orders = [load(Path(path)) for path in coresets]
    rows = []
    for chain in chains:
        subset = parse(chain).sources[0].subset
        taken = [
            np.arange(len(shares)) if subset is None else np.asarray(take(order, subset.selector, subset.number, bins))
            for order in orders
        ]
        rows.append(np.mean([_amounts(shares.iloc[picks], cells) for picks in taken], axis=0))
    amounts = pd.DataFrame(rows, columns=["patches", "images", "instances"])
    for unit in ("images", "instances"):
        still = [chain for chain, step in zip(chains[1:], np.diff(amounts[unit]), strict=True) if step <= 0]
        if still:
            raise ValueError(f"{patches}: {still[0]} learns from no more {unit} than the chain before it; take it away")
    return MeasuredCurve(tuple(chains), amounts, _all_scores(metrics, block))


def image_shares(images: pd.Series) -> pd.Series:
    """Share of its image that each patch is, by the number of patches: (N,) names -> (N,) with the names as index.

    Whole images add up to 1 each, so that half of the patches of two images are one annotated image.
    """
    return pd.Series(1 / images.map(images.value_counts()).to_numpy(), index=images)


def _amounts(shares: pd.Series, cells: pd.Series) -> tuple[float, float, float]:
    """Patches, images and instances of a choice of patches, from the shares of their images that they are."""
    missing = shares.index.difference(cells.index)
    if len(missing):
        raise ValueError(
            f"patches are of an image {missing[0]!r} that the table of images lacks; cut the patches again"
        )
    return len(shares), shares.sum(), float((shares * cells[shares.index].to_numpy()).sum())


def _all_scores(metrics: Mapping[Model, str | Path], block: Mapping[str, Any]) -> NDArray[np.float64]:
    """(R, S, I) of all models of a curve."""
    scores = read_scores([metrics[model] for model in curve_models(block)], block["metric"])
    return scores.reshape(-1, len(block["seeds"]), scores.shape[1])
