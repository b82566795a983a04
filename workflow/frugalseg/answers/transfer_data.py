"""Transfer matrices from the metrics of their models, and all that is said of them as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from frugalseg.answers.scores import read_scores
from frugalseg.chains import parse
from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.transfer import ChainScores, Scores, Transfer
from frugalseg.study.lineage import Model
from frugalseg.study.transfers import transfer_tests


def read_paths(
    block: Mapping[str, Any],
    rows: Mapping[str, Sequence[Sequence[Model]]],
    metrics: Mapping[tuple[Model, str], str | Path],
) -> dict[str, ChainScores]:
    """Read the scores along every chain of a block.

    Parameters
    ----------
    block : mapping
        Of ``transfers`` in the config.
    rows : mapping
        Chain -> for every seed, the models of its rows, see `frugalseg.study.transfers.transfer_rows`.
    metrics : mapping
        (model, dataset) -> CSV of its metrics on the dataset's test images, a row an image.

    Returns
    -------
    dict
        Chain -> scores, in the order of the block.

    Raises
    ------
    ValueError
        When a file lacks what is needed, or models were scored on different images.
    """
    return {chain: _read_path(block, chain, seeds, metrics) for chain, seeds in rows.items()}


def row_names(block: Mapping[str, Any], chain: str) -> list[str]:
    """What the rows of a chain's matrix stand for, the first one first: ``untrained``, ``cyto``, ``histo``."""
    stages = [str(stage) for stage in parse(chain).stages]
    return stages if block["reference"] == "start" else ["untrained", *stages]


def path_name(block: Mapping[str, Any], chain: str) -> str:
    """The stages of a chain that are counted: ``cyto → histo``; after pre-training ``from multi: cyto → histo``."""
    first, *counted = row_names(block, chain)
    path = " → ".join(counted)
    return f"from {first}: {path}" if block["reference"] == "start" else path


def to_table(block: Mapping[str, Any], paths: Mapping[str, ChainScores], found: Mapping[str, Transfer]) -> pd.DataFrame:
    """Everything measured as one tidy table.

    Returns
    -------
    pd.DataFrame
        Of the kind ``score`` a row for every chain, row of its matrix (``stage``, 0 for what stands for chance, and
        ``after``) and ``test``: ``mean`` with the ends of its interval; ``std_images`` is the spread over images of a run,
        averaged over the runs, and ``std_runs`` that of the runs' means. ``learned`` is true from the stage on that
        learned the test's dataset. Of the kinds ``average``, ``backward`` and ``forward`` a row a chain.
    """
    lines = []
    for chain, path in paths.items():
        for number, after in enumerate(row_names(block, chain)):
            for test, scores in path.scores.items():
                line = {"kind": "score", "chain": chain, "stage": number, "after": after, "test": test}
                spread = {"std_images": scores[number].std(axis=1, ddof=1).mean()}
                spread["std_runs"] = scores[number].mean(axis=1).std(ddof=1) if path.seeds > 1 else np.nan
                learned = number >= path.learned[test]
                lines.append(line | {"learned": learned} | _ends(found[chain].matrix[test][number]) | spread)
        for kind in ("average", "backward", "forward"):
            lines.append({"kind": kind, "chain": chain} | _ends(getattr(found[chain], kind)))
    return pd.DataFrame(lines).astype({"stage": "Int64"})


def _read_path(
    block: Mapping[str, Any],
    chain: str,
    seeds: Sequence[Sequence[Model]],
    metrics: Mapping[tuple[Model, str], str | Path],
) -> ChainScores:
    learned = transfer_tests(block, chain)
    scores = {test: _read_scores(seeds, test, metrics, block["metric"]) for test in learned}
    return ChainScores(learned, scores)


def _read_scores(
    seeds: Sequence[Sequence[Model]], test: str, metrics: Mapping[tuple[Model, str], str | Path], metric: str
) -> Scores:
    """(rows, seeds, images) of one test set."""
    files = [metrics[tuple(model), test] for models in seeds for model in models]
    scores = read_scores(files, metric)
    return scores.reshape(len(seeds), -1, scores.shape[1]).swapaxes(0, 1)


def _ends(estimate: Estimate) -> dict[str, float]:
    return {"mean": estimate.value, "mean_low": estimate.low, "mean_high": estimate.high}
