"""docs/troubleshooting.md quotes messages that the package says and that tests provoke."""

import re

import pytest


def quoted(root):
    text = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ") and " | cause" not in line]
    return [(row, re.findall(r'"([^"]+)"', row)) for row in rows]


def as_written(files):
    """Text of files with the string literals of neighbouring lines joined, and escapes of regular expressions undone."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\s*\n\s*[rf]*"', "", text).replace("\\", "")


@pytest.mark.parametrize("where", ["workflow", "tests"])
def test_every_symptom_is_said_and_provoked(root, where):
    files = [path for path in sorted((root / where).rglob("*.py")) if path.name != "test_troubleshooting.py"]
    text = as_written(files)
    rows = quoted(root)
    assert len(rows) > 25
    assert [part for _, parts in rows for part in parts if part not in text] == []
