"""The figure of a width scan: sensitivity over width, its differences, and what training says about the choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from frugalseg.reporting import style
from frugalseg.reporting.formats import value_text

_PANEL_HEIGHT = 2.6
#: Choices are marked in this order: the published rule, and the rule freed of its edge.
_CHOICE_LINES = {"published": "-", "free": (0, (1, 1.2))}


@style.styled
def draw_widths(
    scan: pd.DataFrame, networks: pd.DataFrame, choices: pd.DataFrame, accuracy: pd.DataFrame, edge: int | None = None
) -> Figure:
    """Four panels where networks were trained, two where not.

    scan: score, cap, seed, image, value at initialisation; networks: network, cap (NaN for a peer), parameters; choices: score,
    rule, choice; accuracy: network, cap, seed, image, dice, no row where none was trained; edge: the smallest cap that
    training finds not worse than the largest.
    """
    rows = 1 if accuracy.empty else 2
    figure = Figure(figsize=(style.PAGE_WIDTH, rows * _PANEL_HEIGHT), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False)
    curves = _curves(scan, "sensitivity")
    chosen = choices[choices["score"] == "sensitivity"].set_index("rule")["choice"]
    _draw_sensitivity(panels[0, 0], curves, chosen)
    _draw_differences(panels[0, 1], curves, chosen)
    for axes in panels[0]:
        _label_caps(axes, networks, sorted(curves.columns))
    if not accuracy.empty:
        _draw_accuracy(panels[1, 0], accuracy, networks, choices, edge)
        _draw_against(panels[1, 1], curves, accuracy[accuracy["cap"].notna()])
    return figure


def _curves(scan: pd.DataFrame, score: str) -> pd.DataFrame:
    """Mean over images of one score: a row a seed, a column a cap from the widest to the narrowest."""
    values = scan[scan["score"] == score]
    table = values.pivot_table(index="seed", columns="cap", values="value", aggfunc="mean")
    return table[sorted(table.columns, reverse=True)]


def _normalised(curves: pd.DataFrame) -> pd.DataFrame:
    low, high = curves.min(axis=1), curves.max(axis=1)
    return curves.sub(low, axis=0).div(high - low, axis=0)


def _draw_sensitivity(axes: Axes, curves: pd.DataFrame, chosen: pd.Series) -> None:
    caps = np.log2(curves.columns.to_numpy(dtype=float))
    for _, values in curves.iterrows():
        axes.plot(caps, values, color=style.COLOURS[3], linewidth=0.7)
    axes.plot(caps, curves.mean(), color=style.COLOURS[0], marker=style.MARKERS[0], label="mean over seeds")
    _mark(axes, chosen)
    axes.set(title="Sensitivity at initialisation", ylabel="S: mean L2 norm of the input gradient")
    if curves.min().min() > 0 and curves.max().max() / curves.min().min() > 20:
        axes.set_yscale("log")
    axes.legend(loc="best")


def _draw_differences(axes: Axes, curves: pd.DataFrame, chosen: pd.Series) -> None:
    steps = _normalised(curves).diff(axis=1).abs().iloc[:, 1:]
    caps = np.log2(curves.columns.to_numpy(dtype=float))
    between = (caps[:-1] + caps[1:]) / 2
    for _, values in steps.iterrows():
        axes.plot(between, values, color=style.COLOURS[3], linewidth=0.7)
    axes.plot(between, steps.mean(), color=style.COLOURS[0], marker=style.MARKERS[0])
    _mark(axes, chosen)
    axes.set(title="Difference from one cap to the next", ylabel="|difference| of S scaled to 0..1")


def _mark(axes: Axes, chosen: pd.Series) -> None:
    for rule, cap in chosen.items():
        axes.axvline(np.log2(cap), color=style.COLOURS[4], linestyle=_CHOICE_LINES[rule], label=f"{rule} rule: {cap}")


def _label_caps(axes: Axes, networks: pd.DataFrame, caps: Sequence[int]) -> None:
    """Caps on the horizontal axis, the widest on the left, each with its network's number of parameters."""
    parameters = networks.dropna(subset="cap").set_index("cap")["parameters"]
    axes.set_xticks(np.log2(caps), [f"{cap}\n{value_text('parameters', parameters[cap])}" for cap in caps], fontsize=6)
    axes.set_xlabel("Width cap, and parameters")
    axes.invert_xaxis()


def _draw_accuracy(
    axes: Axes, accuracy: pd.DataFrame, networks: pd.DataFrame, choices: pd.DataFrame, edge: int | None
) -> None:
    runs = accuracy.groupby(["network", "seed"], sort=False)["dice"].mean().unstack("seed")
    parameters = networks.set_index("network")["parameters"]
    caps = networks.set_index("network")["cap"].reindex(runs.index)
    order = caps.dropna().sort_values().index
    axes.errorbar(
        parameters[order],
        runs.loc[order].mean(axis=1),
        yerr=runs.loc[order].std(axis=1, ddof=1).fillna(0),
        color=style.COLOURS[0],
        marker=style.MARKERS[0],
        capsize=2,
        label="U-Net, mean and SD over seeds",
    )
    for number, peer in enumerate(caps.index[caps.isna()]):
        axes.plot(
            parameters[peer],
            runs.loc[peer].mean(),
            linestyle="none",
            color=style.COLOURS[2],
            marker=style.MARKERS[1 + number],
            label=peer,
        )
    if edge is not None:
        axes.axvline(
            parameters[f"cap{edge}"], color=style.COLOURS[5], linestyle=(0, (5, 3)), label=f"edge by training: {edge}"
        )
    _mark_choices(axes, choices, parameters)
    axes.set(title="Accuracy after training, and what each score chooses", ylabel="Dice", xlabel="Parameters")
    axes.set_xscale("log")
    # Also the widths that were scanned and not trained, for a score may choose them.
    axes.set_xlim(parameters.max() * 1.5, parameters.min() / 1.5)
    axes.set_ylim(0, 1)
    axes.legend(loc="center left", fontsize=6)


def _mark_choices(axes: Axes, choices: pd.DataFrame, parameters: pd.Series) -> None:
    """Names of the scores above the axes, each at the network that the published rule leads it to."""
    published = choices[choices["rule"] == "published"]
    for cap, rows in published.groupby("choice"):
        if f"cap{cap}" in parameters:
            names = "\n".join(rows["score"].str.replace("_", " "))
            axes.annotate(
                names,
                (parameters[f"cap{cap}"], 0.02),
                xycoords=("data", "axes fraction"),
                fontsize=5.5,
                rotation=90,
                ha="right",
                va="bottom",
                color=style.COLOURS[4],
            )


def _draw_against(axes: Axes, curves: pd.DataFrame, trained: pd.DataFrame) -> None:
    dice = trained.groupby("cap")["dice"].mean()
    sensitivity = curves.mean()[dice.index]
    axes.plot(sensitivity, dice, linestyle="none", marker=style.MARKERS[0], color=style.COLOURS[0])
    for cap in dice.index:
        axes.annotate(
            f"{cap:.0f}", (sensitivity[cap], dice[cap]), xytext=(3, 3), textcoords="offset points", fontsize=6.5
        )
    rank = spearmanr(sensitivity, dice).statistic if len(dice) > 2 else np.nan
    axes.set(
        title=f"S and accuracy, a point a cap (Spearman {rank:.2f})",
        xlabel="S at initialisation",
        ylabel="Dice after training",
    )
