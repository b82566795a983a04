"""Files that are complete or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to: once the context ends, its bytes are on the disk and it takes the name of `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    yield partial
    # Not even a power cut leaves half a file under the name.
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_text(text: str, path: str | Path) -> None:
    """Write a text file, complete or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write JSON, complete or not at all."""
    write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", path)
