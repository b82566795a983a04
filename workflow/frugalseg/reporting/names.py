"""How readers see what files call by short keys: the names of metrics and of fields, and values as text."""

from __future__ import annotations

from typing import Any

#: Metric key -> name. Two quantities go by "panoptic quality"; their names say which is which.
METRIC_NAMES = {
    "iou": "IoU",
    "dice": "Dice",
    "precision": "Precision",
    "recall": "Recall",
    "accuracy": "Accuracy",
    "pq_pixel": "PQ (pixel, IoU × Dice)",
    "pq": "PQ (instance)",
    "sq": "SQ",
    "rq": "RQ",
    "ap_50": "AP at IoU 0.5",
    "ap_75": "AP at IoU 0.75",
    "ap_90": "AP at IoU 0.9",
    "ap": "AP (IoU 0.5 to 0.95)",
    "f1_50": "F1 at IoU 0.5",
    "aji": "AJI",
    "hd95": "HD95 (px)",
    "gap_closed": "Gap closed",
}

_FIELD_NAMES = {
    "rate": "Rate (%)",
    "replay": "Replay (%)",
    "label": "Training",
    "parameters": "Parameters",
    "gigaflops": "GFLOP per megapixel",
}
#: From here on a number of gigaflops is written without digits after the point.
_MANY_GIGAFLOPS = 100


def metric_name(metric: str) -> str:
    """Name of a metric from its key.

    Raises
    ------
    ValueError
        When there is no such metric.
    """
    if metric not in METRIC_NAMES:
        raise ValueError(f"there is no metric {metric!r}; the metrics are {', '.join(METRIC_NAMES)}")
    return METRIC_NAMES[metric]


def field_name(field: str) -> str:
    """Heading of a field from its key: ``rate`` gives "Rate (%)", ``selector`` gives "Selector"."""
    return _FIELD_NAMES.get(field, field.replace("_", " ").capitalize())


def value_text(field: str, value: Any) -> str:
    """Text of a field's value: a metric by its name, a number without needless zeros, all else as it stands.

    Parameters are counted in thousands and millions: ``7.18 M``.
    """
    if field == "metric":
        return metric_name(value)
    if field == "parameters":
        return _in_thousands(value)
    if field == "gigaflops" and value >= _MANY_GIGAFLOPS:
        return f"{value:,.0f}"
    if field == "gigaflops":
        return f"{value:.3g}"
    return format(value, "g") if isinstance(value, int | float) else str(value)


def _in_thousands(count: float) -> str:
    """A number with three digits and the letter of its power of 1000."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # What would be rounded to 1000 of the smaller unit is one of the larger.
        if count >= 0.9995 * power:
            return f"{count / power:.3g} {letter}"
    return f"{count:g}"


def decimals(metric: str) -> int:
    """Digits after the point that a metric is printed with: one for pixels, three for scores in [0, 1]."""
    return 1 if metric == "hd95" else 3
