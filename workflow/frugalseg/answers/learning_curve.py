"""How many more images: what was measured, what is foreseen of twice the data, and whether that is worth it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from frugalseg.answers.answer import Answer, Asked
from frugalseg.answers.scores import read_scores
from frugalseg.chains import parse
from frugalseg.data.stores import read_table
from frugalseg.reporting import prose, style
from frugalseg.reporting.formats import plain, reach, with_ends
from frugalseg.selection.coresets import load, take
from frugalseg.statistics.comparisons import Comparison, compare
from frugalseg.statistics.intervals import Estimate, crossed_mean
from frugalseg.statistics.learning_curve import Forecast, amount_to_reach, area_under_curve, forecast
from frugalseg.statistics.seed_variance import Prior
from frugalseg.study.kinds.learning_curve import curve_chains, curve_models
from frugalseg.study.lineage import Model
from frugalseg.study.metrics import metric_of

# What a curve is drawn over: annotated images, and the cells in them.
_UNITS = ("images", "instances")
# Ends of an interval so many times apart are named without what lies between: no number of images stands for them.
_WIDE = 4
_HEIGHT = 3.1
_LABELS = {"images": "Annotated images", "instances": "Annotated cells"}


@dataclass(frozen=True)
class MeasuredCurve:
    """Scores over what was annotated, chain by chain from the fewest data to all of them.

    `amounts` has the patches, images and instances that each learnt from, means over seeds; `scores` is (chains, seeds,
    test images).
    """

    chains: tuple[str, ...]
    amounts: pd.DataFrame
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What is said of a learning curve.

    `scores` are the means of the chains, `forecasts` go by unit, `comparisons` hold every chain but the last against the last;
    `area` is that under the curve over the logarithm of the images, `reach` the images that bring 95 % of the score of all;
    `replicated` models say how much seeds vary, 0 where too few do.
    """

    measured: MeasuredCurve
    scores: tuple[Estimate, ...]
    forecasts: Mapping[str, Forecast]
    comparisons: Mapping[str, Comparison]
    area: Estimate
    reach: Estimate
    replicated: int = 0

    @property
    def saturated_from(self) -> int | None:
        """Row of the fewest data shown to be equal to all, as are all rows after it; None where no row is."""
        row = len(self.measured.chains) - 1
        while row > 0 and self.comparisons[self.measured.chains[row - 1]].equivalence.holds:
            row -= 1
        return row if row < len(self.measured.chains) - 1 else None


def answer(asked: Asked) -> Answer:
    """Whether more images are worth it; needs the files ``coresets``, ``patches`` and ``images`` and the setting ``bins``."""
    block, files = asked.block, asked.files
    metrics = {model: path for (model, _), path in asked.metrics.items()}
    bins, (patches,), (images,) = asked.settings["bins"], files["patches"], files["images"]
    measured = read_curve(block, metrics, files["coresets"], patches, images, bins)
    found = decide(measured, block, np.random.default_rng(0), asked.seeds_on(block["test"], block["metric"]).prior)
    said = sentences(found, block)
    figure = draw_learning_curve(found, block, said[0])
    return Answer(to_table(found), to_markdown(found, block), block["title"], said, figure)


def read_curve(
    block: Mapping[str, Any],
    metrics: Mapping[Model, str | Path],
    coresets: Sequence[str | Path],
    patches: str | Path,
    images: str | Path,
    bins: int,
) -> MeasuredCurve:
    """Read a learning curve from the files of its models and of its dataset.

    `coresets` are the selector's orders, one a seed; `patches` and `images` the tables of the dataset's training patches
    (column ``image``) and images (``image`` and ``cells``); the study's number of `bins` sets how many patches a rate is. A
    number that brings no more images or cells than the one before is a ValueError.
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
    amounts = pd.DataFrame(rows, columns=["patches", *_UNITS])
    for unit in _UNITS:
        still = [chain for chain, step in zip(chains[1:], np.diff(amounts[unit]), strict=True) if step <= 0]
        if still:
            raise ValueError(f"{patches}: {still[0]} learns from no more {unit} than the chain before it; take it away")
    scores = read_scores([metrics[model] for model in curve_models(block)], block["metric"])
    return MeasuredCurve(tuple(chains), amounts, scores.reshape(len(chains), len(block["seeds"]), -1))


def image_shares(images: pd.Series) -> pd.Series:
    """Share of its image that each patch is, by the number of patches: (N,) names -> (N,) with the names as index.

    Whole images add up to 1 each, so that half of the patches of two images are one annotated image.
    """
    return pd.Series(1 / images.map(images.value_counts()).to_numpy(), index=images)


def decide(
    measured: MeasuredCurve, block: Mapping[str, Any], generator: np.random.Generator, prior: Prior | None = None
) -> Found:
    """Work out what a learning curve says; `generator` draws seeds and images anew."""
    scores, images = measured.scores, measured.amounts["images"].to_numpy()
    margin, options = block["margin"], {"prior": prior, "draws": block["draws"]}
    forecasts = {
        unit: forecast(measured.amounts[unit].to_numpy(), scores, margin, generator, **options) for unit in _UNITS
    }
    smaller = dict(zip(measured.chains[:-1], scores[:-1], strict=True))
    return Found(
        measured=measured,
        scores=tuple(crossed_mean(values, prior=prior) for values in scores),
        forecasts=forecasts,
        comparisons=compare(smaller, scores[-1], margin, prior=prior),
        area=area_under_curve(images, scores, prior=prior),
        reach=amount_to_reach(images, scores, generator, **options),
        replicated=prior.models if prior else 0,
    )


def to_table(found: Found) -> pd.DataFrame:
    """Everything measured and foreseen, tidy: a row a chain, and one ``foreseen`` for twice the images of the last.

    ``std_images`` is the spread over images of one run, averaged over the runs, ``std_runs`` that of the runs' means.
    ``difference`` is to the last chain, ``p`` by Wilcoxon and Holm, ``p_equal`` by two one-sided tests.
    """
    rows = [
        {
            "kind": "measured",
            **{key: row[key] for key in ("chain", "patches", *_UNITS)},
            **with_ends("mean", row["score"]),
            **{key: row[key] for key in ("std_images", "std_runs")},
            **_compared(row["comparison"]),
        }
        for row in _rows(found)
    ]
    doubling = found.forecasts["images"].doubling
    foreseen = {
        "kind": "foreseen",
        "chain": found.measured.chains[-1],
        **(2 * found.measured.amounts.iloc[-1]).to_dict(),
    }
    foreseen |= with_ends("mean", doubling.score) | with_ends("difference", doubling.gain)
    return pd.DataFrame([*rows, foreseen])


def sentences(found: Found, block: Mapping[str, Any]) -> list[str]:
    """The answer in words: first the stop rule, then what the models themselves show, then every warning."""
    return prose.sentences("learning_curve", **_values(found, block))


def stop_rule(foreseen: Forecast, unit: str, margin: str) -> str:
    """What to do, in one sentence; `unit` is what is counted, in the plural, `margin` has its metric: ``0.01 AP``."""
    return " ".join(prose.sentences("stop_rule", foreseen=foreseen, unit=unit, margin=margin, wide=_WIDE))


def to_markdown(found: Found, block: Mapping[str, Any]) -> str:
    """The page of a learning curve: the answer, then what it rests on."""
    values = _values(found, block) | {"question": block["title"], "caption": block["caption"]}
    return prose.page("learning_curve", said=sentences(found, block), **values)


def _values(found: Found, block: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is filled with."""
    measured, saturated, metric = found.measured, found.saturated_from, metric_of(block["metric"])
    equal = [found.comparisons[chain].equivalence.p for chain in measured.chains[saturated:-1]]
    weights = sorted(found.forecasts["images"].weights.items(), key=lambda item: -item[1])
    return {
        "found": found,
        "block": block,
        "metric": metric.name,
        "short": metric.short,
        "rule": stop_rule(found.forecasts["images"], "images", f"{plain(block['margin'])} {metric.short}"),
        "p_equal": max(equal, default=np.nan),
        "measured": _rows(found),
        "weights": [f"{name} {100 * weight:.0f} %" for name, weight in weights if weight >= 0.005],
        "seeds": measured.scores.shape[1],
        "test_images": measured.scores.shape[2],
    }


def _amounts(shares: pd.Series, cells: pd.Series) -> tuple[float, float, float]:
    """Patches, images and instances of a choice of patches, from the shares of their images that they are."""
    missing = shares.index.difference(cells.index)
    if len(missing):
        raise ValueError(
            f"patches are of an image {missing[0]!r} that the table of images lacks; cut the patches again"
        )
    return len(shares), shares.sum(), float((shares * cells[shares.index].to_numpy()).sum())


def _rows(found: Found) -> list[dict[str, Any]]:
    """What is said of every chain: amounts, score, its spread over images and over runs, and how it compares with all."""
    return [
        {
            "chain": chain,
            **found.measured.amounts.iloc[number].to_dict(),
            "score": found.scores[number],
            "std_images": scores.std(axis=1, ddof=1).mean(),
            "std_runs": scores.mean(axis=1).std(ddof=1) if len(scores) > 1 else np.nan,
            "comparison": found.comparisons.get(chain),
        }
        for number, (chain, scores) in enumerate(zip(found.measured.chains, found.measured.scores, strict=True))
    ]


def _compared(comparison: Comparison | None) -> dict[str, Any]:
    if comparison is None:
        return {}
    equal = comparison.equivalence
    return {
        **with_ends("difference", comparison.difference),
        "p": comparison.p,
        "p_equal": equal.p,
        "equal": equal.holds,
    }


@style.styled
def draw_learning_curve(found: Found, block: Mapping[str, Any], sentence: str) -> Figure:
    """Draw a learning curve over images, and beside it over cells; the answer in words stands below."""
    figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(found.forecasts), sharey=True)
    for axes, (unit, foreseen) in zip(panels, found.forecasts.items(), strict=True):
        _draw_foreseen(axes, foreseen, unit)
        _draw_measured(axes, found, unit)
        axes.set_xscale("log")
        amounts = found.measured.amounts[unit].to_numpy()
        axes.set_xlim(amounts[0] / 1.3, 2 * amounts[-1] * 1.3)
        _tick(axes, np.append(amounts, 2 * amounts[-1]))
        axes.set_xlabel(_LABELS[unit])
    panels[0].set_ylabel(metric_of(block["metric"]).name)
    panels[0].set_title(block["title"], loc="left")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    figure.supxlabel(textwrap.fill(sentence, 125), **style.NOTE)
    return figure


def _draw_measured(axes: Axes, found: Found, unit: str) -> None:
    amounts = found.measured.amounts[unit].to_numpy()
    runs = found.measured.scores.mean(axis=2)
    axes.plot(
        amounts,
        runs,
        linestyle="none",
        marker="_",
        color=style.COLOURS[5],
        markersize=7,
        label=["one seed", *[None] * (runs.shape[1] - 1)],
    )
    axes.errorbar(
        amounts,
        [score.value for score in found.scores],
        yerr=np.hstack([reach(score) for score in found.scores]),
        linestyle="none",
        color=style.COLOURS[2],
        marker=style.MARKERS[0],
        capsize=2,
        label="mean, 95 % interval",
    )


def _draw_foreseen(axes: Axes, foreseen: Forecast, unit: str) -> None:
    doubling = foreseen.doubling
    seen = foreseen.grid <= doubling.amount
    axes.fill_between(foreseen.grid, foreseen.low, foreseen.high, color=style.FILLS[3], alpha=0.5, linewidth=0)
    axes.plot(foreseen.grid[seen], foreseen.curve[seen], color=style.COLOURS[0], label="weighed curves")
    axes.plot(foreseen.grid[~seen], foreseen.curve[~seen], color=style.COLOURS[0], linestyle=style.LINES[2])
    axes.errorbar(
        [2 * doubling.amount],
        [doubling.score.value],
        yerr=reach(doubling.score),
        linestyle="none",
        color=style.COLOURS[4],
        marker=style.MARKERS[3],
        markerfacecolor="white",
        capsize=2,
        label="next doubling",
    )
    if foreseen.outlook == "enough" and not math.isinf(foreseen.enough.high):
        axes.axvspan(foreseen.enough.low, foreseen.enough.high, color=style.FILLS[1], alpha=0.5, linewidth=0)
        axes.axvline(foreseen.enough.value, color=style.COLOURS[1], linestyle=style.LINES[1], label="enough from here")


def _tick(axes: Axes, amounts: np.ndarray) -> None:
    """Ticks at the amounts themselves, but for those that would stand on their neighbour's label."""
    apart = (amounts[-1] / amounts[0]) ** 0.09
    kept = [amounts[-1]]
    for amount in amounts[-2::-1]:
        if kept[-1] / amount > apart:
            kept.append(amount)
    axes.set_xticks(kept, [_count(amount) for amount in kept])
    axes.minorticks_off()


def _count(amount: float) -> str:
    if amount >= 10_000:
        return f"{amount / 1000:.3g}k"
    return f"{amount:,.0f}" if amount >= 9.5 else f"{amount:.2g}"
