"""The methods of a study in words, from its config, as they could stand in a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.reporting.methods.coresets import coresets
from frugalseg.reporting.methods.data import data
from frugalseg.reporting.methods.evaluation import evaluation
from frugalseg.reporting.methods.keeping import keeping
from frugalseg.reporting.methods.training import training
from frugalseg.reporting.methods.transfer import transfer
from frugalseg.reporting.methods.widths import widths
from frugalseg.reporting.references import References


def to_markdown(config: Mapping[str, Any]) -> str:
    """Write the methods section of a study.

    Parameters
    ----------
    config : mapping
        The completed config; every number in the text comes from it.

    Returns
    -------
    str
        Markdown: paragraphs, then the references that they cite.

    Raises
    ------
    ValueError
        When there are no words for a network, target, optimiser, schedule, augmentation or selector.
    """
    references = References()
    paragraphs = {
        "Data": data(config, references),
        "Coresets": coresets(config, references),
        "Training": training(config, references),
        "Transfer and replay": transfer(config, references),
        "Keeping the old": keeping(config),
        "Width": widths(config, references),
        "Evaluation": evaluation(config, references),
    }
    text = [f"**{title}.** {paragraph}" for title, paragraph in paragraphs.items() if paragraph]
    listed = [f"- {reference}" for reference in references.listed()]
    return "\n\n".join(["# Methods", *text, "## References", "\n".join(listed)]) + "\n"
