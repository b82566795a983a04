"""LaTeX tables: the frame around rows, and plain text made safe. The packages booktabs and graphicx are needed."""

from __future__ import annotations

from collections.abc import Iterable

_ESCAPED = str.maketrans(
    {character: rf"\{character}" for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "→": r"$\rightarrow$",
        "–": "--",
    }
)


def escape(text: str) -> str:
    """Plain text as LaTeX prints it."""
    return text.translate(_ESCAPED)


def table(columns: str, header: Iterable[str], body: Iterable[str], caption: str, label: str, notes: str) -> str:
    """Write a table; one wider than the line is shrunk to fit, a narrower one keeps its size.

    Parameters
    ----------
    columns : str
        Their alignment, "l" or "r" each.
    header, body : iterable of str
        Lines of LaTeX.
    caption, label, notes : str
        The caption as plain text, the label to refer to the table by, and plain text below it.
    """
    lines = [
        r"\begin{table}[tbp]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *header,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        rf"\par\smallskip{{\footnotesize {escape(notes)}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
