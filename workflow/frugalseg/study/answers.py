"""What a study answers, and which answers its first page opens with, from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERDICTS = "verdicts"
"""Name of the table and the answer that say which claims of a study hold."""
MOST_LEADING = 3
"""Answers that the first page opens with at most."""
_ANSWERING = ("learning_curves", "keeping", "transfers")


def answer_names(config: Mapping[str, Any]) -> list[str]:
    """What a study answers, each by the name of its files: block by block, the verdicts on its claims last."""
    blocks = [name for section in _ANSWERING for name in config.get(section, {})]
    return [*blocks, VERDICTS] if config.get("claims") else blocks


def leading_answers(config: Mapping[str, Any]) -> list[str]:
    """The answers that the first page opens with: those of the config's ``answers``, or what a reader asks first.

    That is the first learning curve, the first comparison of ways to keep the old, and the verdicts; where one of them
    is missing, the next of the others.
    """
    if "answers" in config:
        return list(config["answers"])
    first = [name for section in _ANSWERING[:2] for name in list(config.get(section, {}))[:1]]
    names = answer_names(config)
    asked = [*first, *(name for name in names if name == VERDICTS)]
    return [*asked, *(name for name in names if name not in asked)][:MOST_LEADING]
