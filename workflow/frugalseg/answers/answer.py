"""What goes into an answer and what comes out: the same for every kind of question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from frugalseg.answers.seeds import Seeds, read_seeds

Score = tuple[tuple[str, str, int], str]
"""A model, (recipe, chain, seed), and the dataset that it is scored on."""


@dataclass(frozen=True)
class Asked:
    """A question of the study with everything that it is answered from.

    Attributes
    ----------
    name : str
        Name of the question, and of the files of its answer.
    block : mapping
        The question itself, completed. For the verdicts: every claim by name.
    metrics, tuning : dict
        Score -> CSV file with one row per image, of test images and of training images kept aside.
    files : dict
        What else the kind of question needs, by its own names, e.g. ``{"coresets": [...], "published": [...]}``;
        ``seed_variance`` are the tables of `frugalseg.answers.seeds`, one a test set.
    settings : mapping
        The keys of the study that the kind of question needs beside its block, e.g. ``bins`` or some ``recipes``.
    """

    name: str
    block: Mapping[str, Any]
    metrics: Mapping[Score, Path] = field(default_factory=dict)
    tuning: Mapping[Score, Path] = field(default_factory=dict)
    files: Mapping[str, list[Path]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def seeds_on(self, test: str, metric: str) -> Seeds:
        """What the study knows of seeds on a test set."""
        files = {path.stem: path for path in map(Path, self.files.get("seed_variance", ()))}
        return read_seeds(files[test], metric) if test in files else Seeds()


@dataclass(frozen=True)
class Answer:
    """What an answer module makes of it.

    Attributes
    ----------
    table : DataFrame
        Everything that was worked out, tidy.
    text : str
        The page of the answer in Markdown.
    question : str
        The question as the first page asks it.
    sentences : list of str
        The answer in words, the shortest first; empty where a table says it all.
    figure : Figure, optional
    tex : str, optional
        The table for papers.
    tables : dict
        Further tables by the name of their output.
    """

    table: pd.DataFrame
    text: str
    question: str
    sentences: list[str] = field(default_factory=list)
    figure: Figure | None = None
    tex: str | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
