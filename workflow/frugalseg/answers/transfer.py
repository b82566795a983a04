"""What learning one dataset after another does to all of them: the transfer matrix of every chain, its sums and its words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from frugalseg.answers.answer import Answer, Asked, Score
from frugalseg.answers.scores import read_scores
from frugalseg.chains import parse
from frugalseg.reporting import prose, style
from frugalseg.reporting.formats import score, with_ends
from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.seed_variance import Prior
from frugalseg.statistics.transfer import ChainScores, Scores, Transfer, compare_ends, transfer
from frugalseg.study.kinds.transfer import transfer_rows, transfer_tests
from frugalseg.study.lineage import Model
from frugalseg.study.metrics import metric_of

# So many paths are named one by one in the answer; of more, the one that forgets least and the one that forgets most.
_FEW = 2
_PANELS_A_ROW = 3
_ROW_HEIGHT = 0.38
# Above and below the cells of a panel, for its title, its axis and its sums; and for the note, in inches.
_PANEL_MARGIN, _NOTE_HEIGHT = 1.15, 0.45
# Lightness falls evenly with the score.
_COLOURS = "Blues"
# Of the scale, from which on a cell is dark enough for white letters.
_DARK = 0.55


@dataclass(frozen=True)
class Followed:
    """A chain, the names of its stages, its scores along them, and what is said of these.

    `rows` are what the rows of its matrix stand for, the first one first: ``untrained``, ``cyto``, ``histo``; `name` is the
    stages that count: ``cyto → histo``, after pre-training ``from multi: cyto → histo``.
    """

    chain: str
    rows: list[str]
    name: str
    scores: ChainScores
    found: Transfer
    priors: Mapping[str, Prior] | None = None


def answer(asked: Asked) -> Answer:
    """What is forgotten along the chains; of the settings ``recipes`` is used, for what a stage goes on from."""
    block = asked.block
    known = {test: asked.seeds_on(test, block["metric"]) for test in {test for _, test in asked.metrics}}
    priors = (
        {test: seeds.prior for test, seeds in known.items()} if all(seeds.prior for seeds in known.values()) else {}
    )
    paths = follow(block, transfer_rows(block, asked.settings["recipes"]), asked.metrics, priors)
    said = sentences(block, paths)
    return Answer(
        table=to_table(paths),
        text=to_markdown(block, paths),
        question=block["title"],
        sentences=said,
        figure=draw_transfer(block, paths, said[0]),
    )


def follow(
    block: Mapping[str, Any],
    rows: Mapping[str, Sequence[Sequence[Model]]],
    metrics: Mapping[Score, str | Path],
    priors: Mapping[str, Prior] | None = None,
) -> list[Followed]:
    """Read the scores along every chain and sum them up; `rows` are chain -> for every seed, the models of its rows.

    `priors` of seed variances go by test set.
    """
    return [followed(block, chain, read_chain(block, chain, seeds, metrics), priors) for chain, seeds in rows.items()]


def read_chain(
    block: Mapping[str, Any], chain: str, seeds: Sequence[Sequence[Model]], metrics: Mapping[Score, str | Path]
) -> ChainScores:
    """The scores along one chain, from the models of its rows for every seed."""
    learned = transfer_tests(block, chain)
    return ChainScores(learned, {test: _read_scores(seeds, test, metrics, block["metric"]) for test in learned})


def followed(
    block: Mapping[str, Any], chain: str, scores: ChainScores, priors: Mapping[str, Prior] | None = None
) -> Followed:
    """A chain with the names of its rows and its sums."""
    stages, found = [str(stage) for stage in parse(chain).stages], transfer(scores, priors)
    if block["reference"] == "start":
        return Followed(chain, stages, f"from {stages[0]}: {' → '.join(stages[1:])}", scores, found, priors)
    return Followed(chain, ["untrained", *stages], " → ".join(stages), scores, found, priors)


def to_table(paths: Sequence[Followed]) -> pd.DataFrame:
    """Everything measured, tidy.

    Of the kind ``score`` a row for every chain, row of its matrix (``stage``, 0 for what stands for chance, and ``after``)
    and ``test``; ``std_images`` is the spread over images of a run, averaged over the runs, ``std_runs`` that of the runs'
    means; ``learned`` from the stage on that learned the test's dataset. Of the kinds ``average``, ``backward`` and
    ``forward`` a row a chain.
    """
    lines = []
    for path in paths:
        for number, after in enumerate(path.rows):
            for test, scores in path.scores.scores.items():
                line = {"kind": "score", "chain": path.chain, "stage": number, "after": after, "test": test}
                spread = {"std_images": scores[number].std(axis=1, ddof=1).mean()}
                spread["std_runs"] = scores[number].mean(axis=1).std(ddof=1) if path.scores.seeds > 1 else np.nan
                learned = number >= path.scores.learned[test]
                lines.append(line | {"learned": learned} | with_ends("mean", path.found.matrix[test][number]) | spread)
        for kind in ("average", "backward", "forward"):
            lines.append({"kind": kind, "chain": path.chain} | with_ends("mean", getattr(path.found, kind)))
    return pd.DataFrame(lines).astype({"stage": "Int64"})


def sentences(block: Mapping[str, Any], paths: Sequence[Followed]) -> list[str]:
    """The answer in words: what is forgotten, then every path, the order, and what makes it doubtful."""
    return prose.sentences("transfer", **_values(block, paths))


def to_markdown(block: Mapping[str, Any], paths: Sequence[Followed]) -> str:
    """The page: the answer, then the matrices and their sums."""
    values = _values(block, paths)
    said = prose.sentences("transfer", **values)
    return prose.page("transfer", question=block["title"], caption=block["caption"], said=said, **values)


def _values(block: Mapping[str, Any], paths: Sequence[Followed]) -> dict[str, Any]:
    """What the template is filled with."""
    ranked = sorted(paths, key=lambda path: -path.found.backward.value)
    metric = metric_of(block["metric"])
    images = {test: scores.shape[2] for path in paths for test, scores in path.scores.scores.items()}
    return {
        "block": block,
        "paths": paths,
        "learnt": any(scores.any() for path in paths for scores in path.scores.scores.values()),
        "told": paths if len(paths) <= _FEW else [ranked[0], ranked[-1]],
        "orders": list(_orders(paths)),
        "joins": any(_joins(path) for path in paths),
        "seeds": paths[0].scores.seeds,
        "replicated": min((prior.models for prior in (paths[0].priors or {}).values()), default=0),
        "images": [f"{count:,} of {test}" for test, count in images.items()],
        "metric": metric.name,
        "short": metric.short,
    }


def _read_scores(
    seeds: Sequence[Sequence[Model]], test: str, metrics: Mapping[Score, str | Path], metric: str
) -> Scores:
    """(rows, seeds, images) of one test set."""
    scores = read_scores([metrics[tuple(model), test] for models in seeds for model in models], metric)
    return scores.reshape(len(seeds), -1, scores.shape[1]).swapaxes(0, 1)


def _orders(paths: Sequence[Followed]) -> Iterator[dict[str, Any]]:
    """Which of the paths through the same datasets ends best, of every such group."""

    def datasets(path: Followed) -> list[str]:
        return sorted(path.scores.scores)

    for through, group in groupby(sorted(paths, key=datasets), key=datasets):
        members = list(group)
        if len(members) < 2:
            continue
        differences = compare_ends([path.scores for path in members], members[0].priors)
        best = max(range(len(members)), key=lambda rank: members[rank].found.average.value)
        leads = {other: gap for (better, other), gap in differences.items() if better == best}
        nearest = min(leads, key=lambda other: leads[other].value)
        yield {
            "datasets": through,
            "best": members[best].name,
            "other": members[nearest].name,
            "lead": leads[nearest],
            "matters": all(gap.low > 0 for gap in leads.values()),
        }


def _joins(path: Followed) -> bool:
    """Whether a stage learns several new datasets, or one a second time."""
    seen = [source.dataset for stage in parse(path.chain).stages for source in stage.sources]
    return len(set(path.scores.learned.values())) < len(path.scores.learned) or len(set(seen)) < len(seen)


@style.styled
def draw_transfer(block: Mapping[str, Any], paths: Sequence[Followed], sentence: str) -> Figure:
    """Draw the transfer matrix of every chain in a panel of its own, with the answer in words below.

    Rows are after what, columns test images of which dataset. Cells of learned datasets are framed.
    """
    columns = min(_PANELS_A_ROW, len(paths))
    lines = math.ceil(len(paths) / columns)
    rows = max(len(path.rows) for path in paths)
    height = lines * (rows * _ROW_HEIGHT + _PANEL_MARGIN) + _NOTE_HEIGHT
    figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    highest = max(cell.value for path in paths for cells in path.found.matrix.values() for cell in cells)
    image = None
    for axes, path in zip(panels, paths, strict=False):
        image = _draw_matrix(axes, path, highest or 1.0)
        axes.set_title(textwrap.fill(path.name, 28), loc="left")
    for axes in panels[len(paths) :]:
        axes.set_axis_off()
    bar = figure.colorbar(image, ax=panels.tolist(), shrink=0.7, aspect=25)
    bar.set_label(metric_of(block["metric"]).name)
    bar.outline.set_visible(False)
    figure.supxlabel(textwrap.fill(sentence, 125), **style.NOTE)
    return figure


def _draw_matrix(axes: Axes, path: Followed, highest: float) -> AxesImage:
    found = path.found
    values = np.array([[estimate.value for estimate in cells] for cells in found.matrix.values()]).T
    image = axes.imshow(values, cmap=_COLOURS, vmin=0, vmax=highest, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > _DARK * highest else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    for column, row in enumerate(path.scores.learned[test] for test in found.matrix):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(
            Rectangle(
                corner, 1, len(values) - row, fill=False, edgecolor="black", linewidth=1.2, clip_on=False, zorder=3
            )
        )
    axes.set_xticks(range(len(found.matrix)), list(found.matrix))
    axes.set_yticks(range(len(path.rows)), [name.replace("+", "\n+ ") for name in path.rows])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("after")
    # To the right, so that it grows over the room of the row's names and not into the neighbour.
    sums = f"tested on\nbackward {_signed(found.backward)}\nforward {_signed(found.forward)}"
    axes.set_xlabel(sums, loc="right", fontsize=7)
    return image


def _signed(estimate: Estimate) -> str:
    value, low, high = (score(end, 2, sign=True) for end in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"
