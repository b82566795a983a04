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
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {module!r} to take a fingerprint of")
    origin = Path(spec.origin)
    if origin.name == "__init__.py":
        return sorted(origin.parent.rglob("*.py"))
    # The parts that a module keeps in private modules beside it, such as _flows_cpu.py of flows.py.
    return [origin, *sorted(origin.parent.glob(f"_{origin.stem}_*.py"))]


def _normal_form(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
