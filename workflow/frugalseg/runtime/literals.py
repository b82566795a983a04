"""What a module says of itself in constants, read from its source: nothing is imported, so it costs no PyTorch."""

from __future__ import annotations

import ast
import difflib
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


@cache
def literals(module: str) -> dict[str, Any]:
    """Constants of a module that are written out as literals, by name: ``literals("models.cpnet")["METHODS"]``.

    Raises
    ------
    ValueError
        When the package has no such module.
    """
    file = _PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    if not file.exists():
        raise ValueError(f"there is no module frugalseg.{module}: {file} does not exist")
    found = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and isinstance(targets[0], ast.Name):
            try:
                found[targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                # Computed, so no literal.
                continue
    return found


@cache
def members(room: str) -> dict[str, dict[str, Any]]:
    """Literals of the modules of a room that have ``METHODS``, by name: the selectors of ``selection``, the networks of
    ``models``."""
    names = sorted(file.stem for file in _PACKAGE.joinpath(*room.split(".")).glob("*.py"))
    return {name: found for name in names if "METHODS" in (found := literals(f"{room}.{name}"))}


def check_member(room: str, name: str, what: str) -> None:
    """Refuse a name that no member of a room has, and offer the nearest one."""
    if name not in (known := members(room)):
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)
        raise ValueError(f"there is no {what} {name!r}; did you mean {close[0]!r}? (known: {', '.join(known)})")


def names_of(room: str) -> list[str]:
    """Names of the modules of a room that others may ask for, e.g. the readers of ``data/readers``."""
    return sorted(file.stem for file in (_PACKAGE / room).glob("*.py") if not file.stem.startswith("_"))
