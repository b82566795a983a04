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
}

_FIELD_NAMES = {
    "rate": "Rate (%)",
    "replay": "Replay (%)",
    "label": "Training",
}


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
    """Text of a field's value: a metric by its name, a number without needless zeros, all else as it stands."""
    if field == "metric":
        return metric_name(value)
    return format(value, "g") if isinstance(value, int | float) else str(value)


def decimals(metric: str) -> int:
    """Digits after the point that a metric is printed with: one for pixels, three for scores in [0, 1]."""
    return 1 if metric == "hd95" else 3
