"""Answers as small files, from which the report's first page is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def write_answer(path: str | Path, name: str, question: str, sentences: Sequence[str]) -> None:
    """Write what a part of the study answers.

    Parameters
    ----------
    path : str or Path
        ``results/STUDY/answers/NAME.json``.
    name : str
        Of the block of the config; its table is ``tables/NAME.md`` and its figure ``figures/NAME.png``.
    question : str
        What was asked, the block's title.
    sentences : sequence of str
        The answer first, then what goes with it.
    """
    answer = {"name": name, "question": question, "sentences": list(sentences)}
    Path(path).write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_answer(path: str | Path) -> dict:
    """Read what :func:`write_answer` wrote: ``name``, ``question`` and ``sentences``."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
