"""Numbers, counts and lists as readers see them: the same in sentences, tables and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from frugalseg.statistics.intervals import Estimate
from frugalseg.study.metrics import metric_of

MISSING = "–"
_MINUS, _PIPE = "\N{MINUS SIGN}", r"\|"
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_FIELDS = {
    "rate": "Rate (%)",
    "replay": "Replay (%)",
    "label": "Training",
    "parameters": "Parameters",
    "gigaflops": "GFLOP per megapixel",
}
# From here on a number of gigaflops is written without digits after the point.
_MANY_GIGAFLOPS = 100


def score(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number with a real minus sign; what rounds to nothing has no sign, what is not there is a dash."""
    if math.isnan(value):
        return MISSING
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", _MINUS)


def ends(estimate: Estimate, digits: int = 3) -> str:
    """Ends of an interval: ``0.100 to 0.200``."""
    return f"{score(estimate.low, digits)} to {score(estimate.high, digits)}"


def interval(estimate: Estimate, digits: int = 3) -> str:
    """A number with its interval: ``0.150 (0.100 to 0.200)``."""
    return MISSING if math.isnan(estimate.value) else f"{score(estimate.value, digits)} ({ends(estimate, digits)})"


def turned(estimate: Estimate) -> Estimate:
    """A difference seen from the other side: a loss of a gain."""
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


def amount(value: float, followed: float = math.inf) -> str:
    """A number of images or cells; where it is infinite, only that it is more than was followed."""
    if math.isinf(value):
        return f"more than {followed:,.0f}"
    return f"{value:,.0f}" if value >= 9.5 else f"{value:.2g}"


def amounts(estimate: Estimate, unit: str = "", followed: float = math.inf) -> str:
    """A number of images with its interval: ``60 images (40 to 110)``."""
    low, high = (amount(end, followed) for end in (estimate.low, estimate.high))
    return f"{amount(estimate.value, followed)}{unit and ' ' + unit} ({low} to {high})"


def probability(p: float, equals: str = "") -> str:
    """A p value: ``0.012`` or ``< 0.001``; with `equals` ``= 0.012``."""
    return f"{equals}{p:.3f}" if p >= 0.001 else "< 0.001"


def number(value: int) -> str:
    """A count in words up to twelve, else in digits."""
    return _COUNTS[value] if value < len(_COUNTS) else f"{value:,}"


def plural(value: int, noun: str) -> str:
    """A count and its noun: ``one dataset``, ``three datasets``."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def plain(value: float) -> str:
    """A number without an exponent."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def listing(items: Iterable[str], comma: str = ", ", before_last: str = " and ") -> str:
    """Join words as English does: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = list(items)
    return f"{comma.join(first)}{before_last}{last}" if first else last


def names(items: Sequence[str]) -> str:
    """A listing that stays clear where names have commas of their own."""
    return listing(items, comma="; " if any("," in item for item in items) else ", ")


def row(cells: Iterable[Any]) -> str:
    """A row of a Markdown table. Cells are not padded: a claim in one row would widen all of them."""
    return f"| {' | '.join(str(cell).replace('|', _PIPE) for cell in cells)} |"


def heads(names: Sequence[str]) -> str:
    """The first two lines of a Markdown table."""
    return f"{row(names)}\n{row(['---'] * len(names))}"


def with_ends(name: str, estimate: Estimate) -> dict[str, float]:
    """Columns of an estimate in a tidy table: NAME, NAME_low and NAME_high."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def reach(estimate: Estimate) -> list[list[float]]:
    """(2, 1) lengths of the two sides of an interval; a skewed one may end a little before its value."""
    return [[max(estimate.value - estimate.low, 0)], [max(estimate.high - estimate.value, 0)]]


def field_name(field: str) -> str:
    """Heading of a field from its key: ``rate`` gives "Rate (%)", ``selector`` gives "Selector"."""
    return _FIELDS.get(field, field.replace("_", " ").capitalize())


def value_text(field: str, value: Any) -> str:
    """Text of a field's value: a metric by its name, parameters as ``7.18 M``, a number without needless zeros."""
    if field == "metric":
        return metric_of(value).name
    if field == "parameters":
        return _in_thousands(value)
    if field == "gigaflops":
        return f"{value:,.0f}" if value >= _MANY_GIGAFLOPS else f"{value:.3g}"
    return format(value, "g") if isinstance(value, int | float) else str(value)


def _in_thousands(value: float) -> str:
    """A number with three digits and the letter of its power of 1000."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # What would be rounded to 1000 of the smaller unit is one of the larger.
        if value >= 0.9995 * power:
            return f"{value / power:.3g} {letter}"
    return f"{value:g}"
