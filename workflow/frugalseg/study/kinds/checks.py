"""Checks that several kinds of questions share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from frugalseg.study.messages import Problem
from frugalseg.study.metrics import METRICS


def scored_problems(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    """A metric that falls as models get better, or a recipe whose networks are scored on one test set alone."""
    at, where = ("questions", name), f"questions.{name}"
    if not METRICS[block["metric"]].rising:
        text = f"{where}.metric is {block['metric']!r}; choose a score from 0 to 1, of which larger is better"
        yield (*at, "metric"), text
    if study["recipes"].get(block["recipe"], {}).get("target") == "foreground":
        yield (
            (*at, "recipe"),
            f"{where}.recipe {block['recipe']!r} learns foreground, and is scored on one test set alone; choose one that finds "
            "cells",
        )
