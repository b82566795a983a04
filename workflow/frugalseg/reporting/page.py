"""Tables as pages that a browser shows inside the report."""

from __future__ import annotations

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
    """Render a Markdown text with tables as a self-contained HTML page.

    Parameters
    ----------
    markdown : str
        CommonMark with pipe tables; raw HTML in it is shown as text.

    Returns
    -------
    str
        A whole HTML document that loads nothing; metrics are defined on hover.
    """
    body = to_html(markdown)
    return f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><style>{_STYLE}</style>\n<body>\n{body}</body></html>\n'
