"""Prose from `templates/`, where authors edit it: sentences of an answer and whole pages, in Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from frugalseg.reporting import formats

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FILTERS = (
    *(
        formats.score,
        formats.interval,
        formats.ends,
        formats.turned,
        formats.amount,
        formats.amounts,
        formats.probability,
    ),
    *(formats.number, formats.plural, formats.plain, formats.listing, formats.names, formats.row, formats.heads),
    formats.value_text,
)
_TEMPLATES.filters.update({each.__name__: each for each in _FILTERS})
_TEMPLATES.filters["capitalized"] = lambda text: text[:1].upper() + text[1:]
_BLANK = re.compile(r"\n\s*\n")


def sentences(template: str, **values: Any) -> list[str]:
    """Paragraphs of a template's block ``sentences``, each on one line; a paragraph is what blank lines part."""
    made = _TEMPLATES.get_template(f"{template}.jinja")
    return _paragraphs("".join(made.blocks["sentences"](made.new_context(values))))


def page(template: str, **values: Any) -> str:
    """A whole template. Lists, tables and headings keep their lines; paragraphs are one line each."""
    return "\n\n".join(_paragraphs(_TEMPLATES.get_template(f"{template}.jinja").render(values))) + "\n"


def fragment(source: str, **values: Any) -> str:
    """A template that stands in the code, such as what a selector says of itself."""
    return _TEMPLATES.from_string(source).render(values)


def _paragraphs(text: str) -> list[str]:
    return [_tidy(part.strip()) for part in _BLANK.split(text) if part.strip()]


def _tidy(paragraph: str) -> str:
    lines = [" ".join(line.split()) for line in paragraph.splitlines()]
    return ("\n" if lines[0].startswith(("|", "- ")) else " ").join(lines)
