"""Questions of a study: what a question always says stands once in ``config/questions``; a study fills it in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from frugalseg.study.messages import nearest, read_yaml
from frugalseg.study.recipe import laid_over

FOLDER = Path("config/questions")
"""Templates, below the repository."""

_NAME = re.compile(r"\{(\w+)\}")


class QuestionError(ValueError):
    """A question that cannot be filled in; `path` is where it stands in the study."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = ("questions", *path)


def written_out(
    questions: Mapping[str, Any], keys_of_kind: Mapping[str, Collection[str]], root: Path
) -> dict[str, dict[str, Any]]:
    """Every question with its kind and all its keys: those that name a template are filled in.

    Parameters
    ----------
    questions : mapping
        The block ``questions`` of a study.
    keys_of_kind : mapping
        Kind of question -> keys that a block of this kind may have.
    root : Path
        The repository; templates lie in its ``config/questions``.

    Raises
    ------
    QuestionError
        When there is no such template, a parameter is missing, or a key is neither parameter nor key of the block.
    """
    return {name: _written_out(name, block, keys_of_kind, root / FOLDER) for name, block in questions.items()}


def _written_out(name: str, block: Any, keys_of_kind: Mapping[str, Collection[str]], folder: Path) -> dict[str, Any]:
    if not isinstance(block, Mapping):
        raise QuestionError(f"questions.{name} is {block!r}; write its keys, {{}} where there are none", name)
    given = dict(block)
    if "kind" in given:
        _check_kind(given["kind"], keys_of_kind, f"questions.{name}", name)
        return given
    asked = given.pop("ask", name)
    template = _template(name, asked, folder, "ask" in block)
    where = FOLDER / f"{asked}.yaml"
    _check_kind(template.get("kind"), keys_of_kind, str(where), name)
    values = _values(name, asked, given, template)
    keys = keys_of_kind[template["kind"]]
    unknown = [key for key in given if key not in values and key not in keys]
    if unknown:
        known = nearest(unknown[0], [*values, *keys])
        raise QuestionError(f"unknown key {unknown[0]!r} in questions.{name}; {known}", name, unknown[0])
    own = {key: value for key, value in given.items() if key not in values}
    return {"kind": template["kind"], **laid_over(_filled_in(template["question"], values), own)}


def _check_kind(kind: Any, keys_of_kind: Iterable[str], where: str, name: str) -> None:
    if kind not in keys_of_kind:
        raise QuestionError(f"{where}: unknown kind {kind!r}; {nearest(str(kind), keys_of_kind)}", name, "kind")


def _template(name: str, asked: Any, folder: Path, named: bool) -> dict[str, Any]:
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if asked in known:
        return read_yaml(folder / f"{asked}.yaml")
    if named:
        raise QuestionError(f"questions.{name}.ask is {asked!r}; {nearest(str(asked), known)}", name, "ask")
    raise QuestionError(
        f"questions.{name}: there is no {FOLDER}/{name}.yaml to fill in; {nearest(name, known)} 'ask: NAME' names one, and "
        "'kind: KIND' says that the block is written out",
        name,
    )


def _values(name: str, asked: str, given: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter -> value, as given or by default; a default may name parameters that stand before it."""
    required, defaults = template.get("required", []), template.get("parameters", {})
    missing = [key for key in required if key not in given]
    if missing:
        raise QuestionError(f"questions.{name} lacks the key {missing[0]!r}, which {FOLDER}/{asked}.yaml needs", name)
    values = {key: given[key] for key in required}
    for key, default in defaults.items():
        values[key] = given[key] if key in given else _filled_in(default, values)
    return values


def _filled_in(value: Any, values: Mapping[str, Any]) -> Any:
    """A part of a template with its parameters filled in; one that is nothing but a parameter takes the value as it is."""
    if isinstance(value, Mapping):
        return {_filled_in(key, values): _filled_in(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled_in(item, values) for item in value]
    if not isinstance(value, str):
        return value
    whole = _NAME.fullmatch(value)
    if whole and whole[1] in values:
        return values[whole[1]]
    return _NAME.sub(lambda match: str(values.get(match[1], match[0])), value)
