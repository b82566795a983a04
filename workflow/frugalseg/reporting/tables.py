"""Readable tables: a frame of text, whose columns may have several levels, as Markdown and as LaTeX."""

from __future__ import annotations

from itertools import groupby, pairwise

import pandas as pd

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
_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def to_markdown(frame: pd.DataFrame, names: int = 1, repeats: bool = False) -> str:
    """A Markdown table; the first `names` columns name the rows and stand at the left, the others at the right.

    Levels of a heading are joined by commas. Names that a row shares with the row above are left blank, but for `repeats`.
    """
    headings = [", ".join(filter(None, key)) if isinstance(key, tuple) else key for key in frame.columns]
    flat = (
        without_repeats(frame, names).set_axis(headings, axis="columns").map(lambda cell: str(cell).replace("|", r"\|"))
    )
    sides = ["left"] * names + ["right"] * (len(headings) - names)
    return flat.to_markdown(index=False, disable_numparse=True, colalign=sides)


def to_latex(frame: pd.DataFrame, caption: str, label: str, notes: str, names: int = 1) -> str:
    """A LaTeX table with notes below, all from plain text; it needs booktabs and graphicx.

    One wider than the line is shrunk to fit. The first `names` columns name the rows.
    """
    escaped = without_repeats(frame, names).map(escape)
    levels = [frame.columns.get_level_values(level).map(escape) for level in range(frame.columns.nlevels)]
    escaped.columns = pd.MultiIndex.from_arrays(levels) if len(levels) > 1 else levels[0]
    text = escaped.style.hide(axis="index").to_latex(
        hrules=True,
        multicol_align="c",
        column_format="l" * names + "r" * (frame.shape[1] - names),
        caption=escape(caption),
        label=label,
        position="tbp",
        position_float="centering",
    )
    below = rf"\par\smallskip{{\footnotesize {escape(notes)}}}"
    text = _with_rules(text, frame.columns, names).replace(r"\begin{tabular}", f"{_FIT}\n\\begin{{tabular}}")
    return text.replace(r"\end{tabular}", f"\\end{{tabular}}}}\n{below}")


def _with_rules(text: str, columns: pd.Index, names: int) -> str:
    """A rule below each heading that spans columns, of all levels but the last."""
    lines = text.splitlines(keepends=True)
    for level in range(columns.nlevels - 1):
        rules, start = [], names + 1
        for _, group in groupby(columns[names:], key=lambda key: key[: level + 1]):
            width = len(list(group))
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
            start += width
        lines.insert(lines.index("\\toprule\n") + 2 * (level + 1), " ".join(rules) + "\n")
    return "".join(lines)


def escape(text: str) -> str:
    """Plain text as LaTeX prints it."""
    return text.translate(_ESCAPED)


def without_repeats(frame: pd.DataFrame, names: int) -> pd.DataFrame:
    """The frame with the names that a row shares with the row above left blank, from the left."""
    rows = frame.iloc[:, :names].to_numpy().tolist()
    # Numbers too are left blank, so that columns must hold anything.
    shown = frame.astype(object)
    for number, (above, row) in enumerate(pairwise(rows), start=1):
        for level in range(_shared(above, row)):
            shown.iloc[number, level] = ""
    return shown


def _shared(above: list[str], row: list[str]) -> int:
    """How many names two rows have in common from the left."""
    return next((level for level, (a, b) in enumerate(zip(above, row, strict=True)) if a != b), len(row))
