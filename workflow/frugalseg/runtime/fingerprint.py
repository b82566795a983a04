"""What code a result depends on, made visible to Snakemake.

Snakemake reruns a job when its script's text changes, but not when the package behind the script does. A rule
therefore takes ``params: code=fingerprint(script)``: it changes with the code that the script reaches by import, and not
with comments or docstrings. What is imported by name (a network, a selector, a reader) the rule adds.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[1]
#: Where a job runs, what it logs and how it writes a file cannot change a result; nor can what checks and completes a study
#: before a job starts.
HARMLESS = ("frugalseg.runtime", "frugalseg.study.recipe", "frugalseg.study.keys", "frugalseg.study.messages")

#: The module that fills in templates: with it these and `WORDS` are part of the code.
PROSE = "frugalseg.reporting.prose"
#: What a module says of itself for readers; nobody wants models trained anew for a better sentence.
WORDS = ("METHODS", "CITES")


class Code(NamedTuple):
    """What a file imports of frugalseg, and hashes of its syntax tree without docstrings: of its `WORDS`, and of all else."""

    imports: tuple[str, ...]
    form: str
    words: str


@cache
def fingerprint(*roots: str | Path) -> str:
    """Hash the syntax trees of all modules that roots reach by import, without docstrings.

    Parameters
    ----------
    *roots : Path or str
        Scripts by their path, modules of frugalseg by their dotted names; a package stands for all modules below it. A
        script's own text does not count: Snakemake looks at that itself.

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Raises
    ------
    ModuleNotFoundError
        When a module does not exist.
    """
    digest, modules = hashlib.sha256(), reach(*roots)
    for module in sorted(modules):
        code = _read(_file(module))
        digest.update(f"{module} {code.form} {code.words if PROSE in modules else ''}\n".encode())
    for template in sorted(_file(PROSE).parent.glob("templates/*")) if PROSE in modules else ():
        digest.update(template.read_bytes())
    return digest.hexdigest()[:16]


def reach(*roots: str | Path) -> set[str]:
    """Dotted names of all modules that roots reach by import, in functions too, but for what is `HARMLESS`."""
    found: set[str] = set()
    waiting = [module for root in roots for module in _start(root)]
    while waiting:
        module = waiting.pop()
        if module not in found and not _is_harmless(module):
            found.add(module)
            waiting += _read(_file(module)).imports
    return found


def _start(root: str | Path) -> list[str]:
    if isinstance(root, Path):
        return list(_read(root).imports)
    if not root.startswith("frugalseg") or _file(root) is None:
        raise ModuleNotFoundError(f"no module named {root!r} to take a fingerprint of")
    folder = _file(root).parent
    if _file(root).name != "__init__.py":
        return [root]
    return [_name(path) for path in sorted(folder.rglob("*.py"))]


def _is_harmless(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in HARMLESS)


def _named_in_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _file(module: str) -> Path | None:
    # Looked up by hand: importlib would import the packages above it, and torch with them, whenever Snakemake starts.
    first, *parts = module.split(".")
    path = PACKAGE.joinpath(*parts)
    files = (path / "__init__.py", path.with_suffix(".py")) if first == "frugalseg" else ()
    return next((file for file in files if file.exists()), None)


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _read(path: Path) -> Code:
    return _code(path.read_text(encoding="utf-8"))


def _code(text: str) -> Code:
    tree = ast.parse(text)
    named = {name for name in _named_in_imports(tree) if _file(name) is not None}
    # Packages above a module run first.
    above = {".".join(parts[:n]) for parts in (name.split(".") for name in named) for n in range(1, len(parts))}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    words = [node for node in tree.body if _is_for_readers(node)]
    tree.body = [node for node in tree.body if not _is_for_readers(node)]
    form, said = (hashlib.sha256("".join(map(ast.dump, nodes)).encode()).hexdigest() for nodes in (tree.body, words))
    return Code(tuple(sorted(named | above)), form, said)


def _is_for_readers(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").startswith(WORDS)
