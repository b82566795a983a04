"""Markdown as HTML pages: metrics carry their definitions, tables scroll in boxes of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from frugalseg.study.metrics import METRICS

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
thead th { border-bottom: 2px solid #444; vertical-align: bottom; }
tbody th { font-weight: normal; text-align: left; }
.table { overflow-x: auto; }
.spread { color: #595959; font-size: .9em; }
abbr { text-decoration: underline dotted; cursor: help; }
"""
# A mean and its spreads, the form of tables' cells: 0.64 ± 0.22 (± 0.02), 0.64 (0.60 to 0.68).
_MEAN_AND_SPREAD = re.compile(r"^([+\N{MINUS SIGN}-]?[\d.,]+(?: %)?)( (?:±|\()[-+\N{MINUS SIGN}\d.,%±() to]+)$")

_KEYS = {name: metric.key for metric in METRICS.values() for name in (metric.name, *metric.aliases)}
# Longest first, so that "AP at IoU 0.5" is not taken for an AP.
_NAMES = re.compile(
    r"(?<![\w.])(?:" + "|".join(map(re.escape, sorted(_KEYS, key=len, reverse=True))) + r")(?![\w]|\.\d)"
)


def to_page(markdown: str) -> str:
    """Markdown with tables as an HTML document that loads nothing and defines metrics on hover; raw HTML stays text."""
    body = to_html(markdown)
    return f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><style>{_STYLE}</style>\n<body>\n{body}</body></html>\n'


def write_page(text: str, markdown: str | Path, page: str | Path) -> None:
    """Write a page twice: as Markdown and as HTML."""
    Path(markdown).write_text(text, encoding="utf-8")
    Path(page).write_text(to_page(text), encoding="utf-8")


def to_html(markdown: str, *, level: int = 1, label: str = "Table", linked: bool = False) -> str:
    """Render CommonMark with pipe tables as HTML; raw HTML in it is shown as text, and it embeds no images.

    `level` is that of its first headings on the page, `label` what screen readers call the boxes of its tables. `linked` makes
    names of metrics links to the glossary, which has to be on the same page; they show their definitions on hover in any case.
    """
    parser = _parser()
    tokens = _in_boxes(_with_heads(parser.parse(markdown)), label)
    tokens = [_shifted(token, level - 1) for token in tokens]
    for token in tokens:
        if token.type == "inline":
            token.children = list(_annotated(token.children or [], linked))
    return parser.renderer.render(tokens, parser.options, {})


def to_inline_html(text: str, *, linked: bool = False) -> str:
    """Render a sentence as HTML without a paragraph around it."""
    parser = _parser()
    (token,) = parser.parseInline(text)
    token.children = list(_annotated(token.children or [], linked))
    return parser.renderer.render([token], parser.options, {})


def split_at_metrics(text: str) -> list[tuple[str, str | None]]:
    """Pieces of a text in order, each with the key of the metric that it names, or None.

    Joined they are the text: ``"an AP of 0.7"`` gives ``("an ", None), ("AP", "ap"), (" of 0.7", None)``.
    """
    pieces, end = [], 0
    for match in _NAMES.finditer(text):
        pieces += [(text[end : match.start()], None), (match.group(), _KEYS[match.group()])]
        end = match.end()
    return [piece for piece in [*pieces, (text[end:], None)] if piece[0]]


def anchor(metric: str) -> str:
    """Id of a metric's definition on a page."""
    return f"metric-{metric.replace('_', '-')}"


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _with_heads(tokens: Sequence[Token]) -> Sequence[Token]:
    """Cells that name a column, or a row where they stand first and are not blank, as its heading."""
    for position, token in enumerate(tokens):
        if token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "td_open" and tokens[position - 1].type == "tr_open" and tokens[position + 1].content:
            token.tag = tokens[position + 2].tag = "th"
            token.attrSet("scope", "row")
    return tokens


def _in_boxes(tokens: Iterable[Token], label: str) -> Iterator[Token]:
    """Tables in boxes that scroll by themselves, with the keyboard too."""
    for token in tokens:
        if token.type == "table_open":
            yield _raw(f'<div class="table" role="region" aria-label="{escape(label)}" tabindex="0">')
        yield token
        if token.type == "table_close":
            yield _raw("</div>\n")


def _shifted(token: Token, levels: int) -> Token:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1:]) + levels, 6)}"
    return token


def _annotated(children: Iterable[Token], linked: bool) -> Iterator[Token]:
    """Pieces of a line; metrics with their definitions, spreads set apart from means."""
    children, depth = list(children), 0
    spread = _MEAN_AND_SPREAD.match(children[0].content) if len(children) == 1 else None
    if spread and children[0].type == "text":
        yield _raw(f'{escape(spread[1])}<span class="spread">{escape(spread[2])}</span>')
        return
    for child in children:
        depth += child.nesting if child.type.startswith("link_") else 0
        if child.type != "text":
            yield child
            continue
        for piece, metric in split_at_metrics(child.content):
            # No links inside links.
            yield _raw(escape(piece) if metric is None else _metric(piece, metric, linked and depth == 0))


def _metric(name: str, metric: str, linked: bool) -> str:
    abbreviation = f'<abbr title="{escape(METRICS[metric].definition)}">{escape(name)}</abbr>'
    return f'<a class="metric" href="#{anchor(metric)}">{abbreviation}</a>' if linked else abbreviation


def _raw(html: str) -> Token:
    return Token("html_inline", "", 0, content=html)
