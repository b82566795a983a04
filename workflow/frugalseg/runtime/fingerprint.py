"""What code a result depends on, made visible to Snakemake.

Snakemake reruns a job when its script's text changes, but not when the package behind the script does. A rule
therefore takes ``params: code=fingerprint(...)``: it changes with the code and not with comments or docstrings.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path


@cache
def fingerprint(*modules: str) -> str:
    """Hash the syntax trees of modules, without docstrings.

    Parameters
    ----------
    *modules : str
        Dotted names of modules or packages of frugalseg. A package stands for all modules below it, a module also
        for the private modules that carry its name, ``_flows_cpu`` for ``flows``.

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Raises
    ------
    ModuleNotFoundError
        When a module does not exist.
    """
    digest = hashlib.sha256()
    for module in modules:
        for path in _files(module):
            digest.update(_normal_form(path).encode())
    return digest.hexdigest()[:16]


def _files(module: str) -> list[Path]:
    # Looked up by hand: importlib would import the packages above it, and torch with them, whenever Snakemake starts.
    package, *parts = module.split(".")
    path = Path(importlib.util.find_spec(package).origin).parent.joinpath(*parts)
    if (path / "__init__.py").exists():
        return sorted(path.rglob("*.py"))
    file = path.with_suffix(".py")
    if not file.exists():
        raise ModuleNotFoundError(f"no module named {module!r} to take a fingerprint of")
    # The parts that a module keeps in private modules beside it, such as _flows_cpu.py of flows.py.
    return [file, *sorted(path.parent.glob(f"_{path.name}_*.py"))]


@cache
def _normal_form(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
