"""The first page of a study: its answers with their figures, then the verdicts, the tables, the methods and a glossary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from frugalseg.reporting import prose
from frugalseg.reporting.inline_images import Inlined
from frugalseg.reporting.page import anchor, to_html, to_inline_html
from frugalseg.study.kinds import VERDICTS, leading
from frugalseg.study.metrics import METRICS

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
    """Something the page shows: an answer in sentences, a table as ``body``, a figure, or what there is of the three."""

    name: str
    title: str
    answer: Markup = _NOTHING
    further: tuple[Markup, ...] = ()
    body: Markup = _NOTHING
    figure: Inlined | None = None
    alt: str = ""


def front_page(
    config: Mapping[str, Any],
    answers: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, str],
    figures: Mapping[str, Inlined],
    template: str,
) -> str:
    """A study's first page: one HTML document that loads nothing from elsewhere.

    `answers` are as :func:`frugalseg.answers.answer_file.read_answer` gives them, `tables` are Markdown; all go by name, and
    what is missing is left out. `template` is Jinja and escapes all that it is given, but for what this module renders.
    """
    answered = {name: _answer(name, answers[name], tables.get(name, ""), figures.get(name)) for name in answers}
    tabulated = {
        name: _table(name, markdown, figures.get(name))
        for name, markdown in tables.items()
        if name not in answers and name not in METHODS
    }
    first = [answered[name] for name in leading(config) if name in answered]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=config["title"],
        study=config["study"],
        datasets={name: block["title"] for name, block in config["datasets"].items()},
        leading=first,
        verdicts=answered.get(VERDICTS) or tabulated.pop(VERDICTS, None),
        others=[part for name, part in answered.items() if part not in first and name != VERDICTS],
        looks=[_look(name, config["figures"][name], figures[name]) for name in _LOOKS if name in figures],
        experiments=list(tabulated.values()),
        methods=[_table(name, tables[name], None) for name in METHODS if name in tables],
        metrics=METRICS.values(),
        anchor=anchor,
    )


def _answer(name: str, answer: Mapping[str, Any], markdown: str, figure: Inlined | None) -> Part:
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


def _table(name: str, markdown: str, figure: Inlined | None) -> Part:
    heading, body = _without_heading(markdown)
    title = METHODS.get(name) or heading or name.replace("_", " ").capitalize()
    return Part(name, title, body=_body(body, title), figure=figure, alt=f"Figure of the table below: {title}")


def _look(name: str, block: Mapping[str, Any], figure: Inlined) -> Part:
    """A figure without a table, one of the blocks of ``figures``."""
    metric = METRICS[block["changed"]["metric"]].name if "changed" in block else ""
    title, *caption = prose.sentences("look", name=name, block=block, metric=metric)
    return Part(name, title, body=_body("".join(caption), title), figure=figure, alt=" ".join([f"{title}.", *caption]))


def _body(markdown: str, title: str) -> Markup:
    return Markup(to_html(markdown, level=_LEVEL_OF_BODY - 1, label=f"Table: {title}", linked=True))


def _without_heading(markdown: str) -> tuple[str, str]:
    """The heading that a table's page begins with, empty where it has none, and the rest."""
    first, _, rest = markdown.partition("\n")
    return (first.removeprefix("# "), rest) if first.startswith("# ") else ("", markdown)


def _without(markdown: str, said: Iterable[str]) -> str:
    """A page without the lines that say what stands above it already, as paragraphs or in a list."""
    return "\n".join(line for line in markdown.splitlines() if not line or line.strip("*- ") not in said)
