"""What arms were measured to keep and to learn: the scores of every model on tuning images and on test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.answers.scores import read_scores
from frugalseg.study.arms import Candidate, candidates_of, keeping_models, start_of
from frugalseg.study.lineage import Model

Files = Mapping[tuple[Model, str], str | Path]
"""Model and dataset -> CSV of its metrics, a row an image."""


@dataclass(frozen=True)
class Scores:
    """Scores of one candidate's models on one kind of images.

    Attributes
    ----------
    source, target : np.ndarray
        (seeds, images) on the dataset whose score is to be kept, and on the one that is to be learnt.
    """

    source: NDArray[np.float64]
    target: NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredWay:
    """The start or a candidate, and its scores on the images that choose and on those that do not."""

    candidate: Candidate
    tuning: Scores
    test: Scores


def read_ways(block: Mapping[str, Any], metrics: Files, tuning: Files) -> list[MeasuredWay]:
    """Read the scores of the start and of all candidates.

    Parameters
    ----------
    block : mapping
        A block of ``keeping`` in the config.
    metrics, tuning : mapping
        The files of `frugalseg.study.arms.keeping_requests` for test images and for tuning images.

    Returns
    -------
    list of MeasuredWay
        The start, then the candidates in the order of the config.

    Raises
    ------
    ValueError
        When a file lacks what is needed, or models were scored on different images.
    """
    tests, tunings = (_by_model(block, files) for files in (metrics, tuning))
    return [
        MeasuredWay(way, *(_of_way(way, block, scores) for scores in (tunings, tests)))
        for way in (start_of(block), *candidates_of(block))
    ]


def _by_model(block: Mapping[str, Any], files: Files) -> dict[Model, Scores]:
    """(images,) of every model."""
    models = keeping_models(block)
    source, target = (
        read_scores([files[model, block[dataset]] for model in models], block["metric"])
        for dataset in ("source", "target")
    )
    return {model: Scores(*scores) for model, *scores in zip(models, source, target, strict=True)}


def _of_way(way: Candidate, block: Mapping[str, Any], scores: Mapping[Model, Scores]) -> Scores:
    runs = [scores[way.recipe, way.chain, seed] for seed in block["seeds"]]
    return Scores(np.stack([run.source for run in runs]), np.stack([run.target for run in runs]))
