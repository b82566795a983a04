"""Tables as pages that a browser shows inside the report."""

from __future__ import annotations

from pathlib import Path

from frugalseg.reporting.markup import to_html

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


def to_page(markdown: str) -> str:
    """Markdown with tables as an HTML document that loads nothing and defines metrics on hover; raw HTML stays text."""
    body = to_html(markdown)
    return f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><style>{_STYLE}</style>\n<body>\n{body}</body></html>\n'


def write_page(text: str, markdown: str | Path, page: str | Path) -> None:
    """Write a page twice: as Markdown and as HTML."""
    Path(markdown).write_text(text, encoding="utf-8")
    Path(page).write_text(to_page(text), encoding="utf-8")
