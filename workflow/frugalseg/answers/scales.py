"""Horizontal axes: linear, logarithmic, or logarithmic with a place for zero, and their labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from frugalseg.reporting.formats import value_text
from frugalseg.study.experiments import COST_FIELDS

# Above this ratio of the largest to the smallest value an axis is logarithmic; that of a cost always is.
_LOGARITHMIC_FROM = 8


def scale_x(ax: Axes, field: str, values: np.ndarray) -> None:
    """Scale and label the horizontal axis of a panel that is drawn.

    Parameters
    ----------
    ax : Axes
    field : str
        What the axis shows.
    values : (N,) float array
        Where something is drawn. Each gets a tick, and a label where there is room; costs get theirs at round numbers.
    """
    values = np.unique(values)
    positive = values[values > 0]
    if field in COST_FIELDS:
        _scale_costs(ax, field)
        return
    if values[0] >= 0 and len(positive) > 1 and positive[-1] >= _LOGARITHMIC_FROM * positive[0]:
        if values[0] == 0:
            ax.set_xscale("symlog", linthresh=positive[0], linscale=0.4)
        else:
            ax.set_xscale("log")
    ax.margins(x=0.05)
    ax.autoscale_view()
    shown = list(_spaced(values, ax))
    ax.xaxis.set_major_locator(FixedLocator(values.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([value_text(field, value) if value in shown else "" for value in values])


def _scale_costs(ax: Axes, field: str) -> None:
    """A logarithmic axis with labels at round numbers: networks of near-equal cost would crowd theirs."""
    ax.set_xscale("log")
    ax.margins(x=0.05)
    ax.autoscale_view()
    low, high = np.log10(ax.get_xlim())
    powers = np.arange(np.floor(low), np.ceil(high) + 1)
    # Where there are too few powers of ten on the axis, their multiples by 2 and 5 too.
    subs = (1.0,) if ((powers >= low) & (powers <= high)).sum() > 1 else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: value_text(field, value)))
    ax.xaxis.set_minor_locator(LogLocator(subs=np.arange(2, 10)))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _spaced(values: np.ndarray, ax: Axes) -> Iterator[float]:
    """Those values whose labels have room: the last, and from the first on each far enough from the one before."""
    to_axis = ax.transData + ax.transAxes.inverted()
    places = to_axis.transform(np.column_stack([values, np.zeros_like(values)]))[:, 0]
    room, last = 0.095, -np.inf
    for value, place in zip(values[:-1], places[:-1], strict=True):
        if place - last >= room and places[-1] - place >= room:
            last = place
            yield value
    yield values[-1]
