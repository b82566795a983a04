"""What a study costs, before it is run: models, steps, hours and disk, and how fast this machine is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layer(base: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a study's keys over those of another config, mappings key by key, as Snakemake does with config files."""
    merged = dict(base)
    for key, value in study.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = layer(merged[key], value) if both else value
    return merged
