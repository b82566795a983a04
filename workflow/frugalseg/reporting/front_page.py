"""The first page of a study: its answers with their figures, then the verdicts, the tables, the methods and a glossary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from frugalseg.reporting.embedding import Embedded
from frugalseg.reporting.glossary import METRIC_DEFINITIONS, READING, TERMS, anchor
from frugalseg.reporting.markup import to_html, to_inline_html
from frugalseg.reporting.names import METRIC_NAMES
from frugalseg.reporting.words import listing
from frugalseg.study.answers import VERDICTS, leading_answers

#: Tables that say how the study was done -> what they are called here. One has the name of a figure, and no more of it.
METHODS = {
    "methods": "What was done, in words for a paper",
    "patches": "Patches of every dataset and model",
    "costs": "What it took: planned and measured times",
    "versions": "Versions and devices",
}
#: Figures without a table, those of cells before those of the choice of patches.
_LOOKS = ("segmentations", "patches", "features")
_LEVEL_OF_BODY = 4
_NOTHING = Markup()


@dataclass(frozen=True)
class Part:
    """Something the page shows: an answer, a table, a figure, or what there is of the three.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
        A question where it is an answer.
    answer : Markup
        The answer in one sentence; empty for a table.
    further : tuple of Markup
        Sentences that go with the answer.
    body : Markup
        Its table and what stands around it, or the words that go with a figure.
    figure : Embedded or None
    alt : str
        The figure in words.
    """

    name: str
    title: str
    answer: Markup = _NOTHING
    further: tuple[Markup, ...] = ()
    body: Markup = _NOTHING
    figure: Embedded | None = None
    alt: str = ""


def front_page(
    config: Mapping[str, Any],
    answers: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, str],
    figures: Mapping[str, Embedded],
    template: str,
) -> str:
    """Write a study's first page.

    Parameters
    ----------
    config : mapping
        The completed config.
    answers : mapping
        Name -> what :func:`frugalseg.answers.answer_file.read_answer` gives.
    tables, figures : mapping
        Name -> the table as Markdown; name -> the figure. What is missing is left out of the page.
    template : str
        Jinja, with the page's layout and style. All that it is given is escaped, but for what this module renders.

    Returns
    -------
    str
        A whole HTML document that loads nothing from elsewhere.
    """
    answered = {name: _answer(name, answers[name], tables.get(name, ""), figures.get(name)) for name in answers}
    tabulated = {
        name: _table(name, markdown, figures.get(name))
        for name, markdown in tables.items()
        if name not in answers and name not in METHODS
    }
    leading = [answered[name] for name in leading_answers(config) if name in answered]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=config["title"],
        study=config["study"],
        datasets={name: block["title"] for name, block in config["datasets"].items()},
        leading=leading,
        verdicts=answered.get(VERDICTS) or tabulated.pop(VERDICTS, None),
        others=[part for name, part in answered.items() if part not in leading and name != VERDICTS],
        looks=[_look(name, config["figures"][name], figures[name]) for name in _LOOKS if name in figures],
        experiments=list(tabulated.values()),
        methods=[_table(name, tables[name], None) for name in METHODS if name in tables],
        metrics=[(anchor(key), METRIC_NAMES[key], text) for key, text in METRIC_DEFINITIONS.items()],
        reading=READING,
        terms=TERMS,
    )


def _answer(name: str, answer: Mapping[str, Any], markdown: str, figure: Embedded | None) -> Part:
    first, *further = answer["sentences"]
    _, body = _without_heading(markdown)
    return Part(
        name=name,
        title=answer["question"],
        answer=Markup(to_inline_html(first, linked=True)),
        further=tuple(Markup(to_inline_html(sentence, linked=True)) for sentence in further),
        body=_body(_without(body, {first, *further}), answer["question"]),
        figure=figure,
        alt=f"{answer['question']} {first}",
    )


def _table(name: str, markdown: str, figure: Embedded | None) -> Part:
    heading, body = _without_heading(markdown)
    title = METHODS.get(name) or heading or name.replace("_", " ").capitalize()
    return Part(name, title, body=_body(body, title), figure=figure, alt=f"Figure of the table below: {title}")


def _look(name: str, block: Mapping[str, Any], figure: Embedded) -> Part:
    """A figure without a table, one of the blocks of ``figures``."""
    if name == "segmentations":
        title = f"What {listing(block['chains'])} make of test images of {listing(block['tests'])}"
        caption = _segmentations_caption(block)
    else:
        what = {"patches": "The patches", "features": "Where the features lie of the patches"}[name]
        title = f"{what} of {block['dataset']} that {listing(block['selectors'])} choose at {block['rate']:g} %"
        caption = "" if name == "patches" else "A t-SNE: what lies together looks alike to the selectors."
    return Part(name, title, body=_body(caption, title), figure=figure, alt=f"{title}. {caption}".strip())


def _segmentations_caption(block: Mapping[str, Any]) -> str:
    outlines = "Outlines of the truth, then of each model's cells."
    if "changed" not in block:
        return outlines
    changed = block["changed"]
    return (
        f"{outlines} Shown are the images of each test set whose {METRIC_NAMES[changed['metric']]} changed most from "
        f"`{changed['from']}` to `{changed['to']}`, losses and gains in turn, with this score below each."
    )


def _body(markdown: str, title: str) -> Markup:
    return Markup(to_html(markdown, level=_LEVEL_OF_BODY - 1, label=f"Table: {title}", linked=True))


def _without_heading(markdown: str) -> tuple[str, str]:
    """The heading that a table's page begins with, empty where it has none, and the rest."""
    first, _, rest = markdown.partition("\n")
    return (first.removeprefix("# "), rest) if first.startswith("# ") else ("", markdown)


def _without(markdown: str, said: Iterable[str]) -> str:
    """A page without the lines that say what stands above it already, as paragraphs or in a list."""
    return "\n".join(line for line in markdown.splitlines() if not line or line.strip("*- ") not in said)
