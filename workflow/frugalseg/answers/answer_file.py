"""An answer's files: its table, page and figure, and its words as JSON, from which the report's first page is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from frugalseg.answers.answer import Answer
from frugalseg.reporting import style
from frugalseg.reporting.page import write_page
from frugalseg.runtime.files import write_json


def write(found: Answer, name: str, output: Any) -> None:
    """Write an answer to a rule's named outputs: csv, markdown, page; answer, png, svg and tex where it has them."""
    found.table.to_csv(output.csv, index=False)
    write_page(found.text, output.markdown, output.page)
    if found.sentences:
        words = {"name": name, "question": found.question, "sentences": found.sentences}
        write_json(words, output.answer)
    if found.figure is not None:
        style.save(found.figure, output.png, output.svg)
    if found.tex is not None:
        Path(output.tex).write_text(found.tex, encoding="utf-8")
    for each, table in found.tables.items():
        table.to_csv(getattr(output, each), index=False)


def read_answer(path: str | Path) -> dict[str, Any]:
    """Read an answer's words: ``name``, ``question`` and ``sentences``."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
