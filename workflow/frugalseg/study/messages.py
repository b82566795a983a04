"""What is wrong with a config, in words: the culprit quoted, the nearest name, the file it stands in."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str]
"""Path of the keys at which something is wrong, and what it is."""


class ConfigError(ValueError):
    """Everything that is wrong with a config, one line a problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"the config has {count}:\n" + "\n".join(f"  - {problem}" for problem in problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that offers the nearest valid name, or lists them all where none is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def dotted(path: Iterable[str | int]) -> str:
    """A path of keys as messages write it."""
    return ".".join(map(str, path)) or "the top level"


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; a block without keys where it is empty."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def with_files(problems: Iterable[Problem], files: Sequence[Path]) -> list[str]:
    """Messages, each with the last of the files in which the longest part of its path stands."""
    contents = {file: read_yaml(Path(file)) for file in files}
    return [f"{_file_of(path, contents)}{message}" for path, message in problems]


def shape_problems(
    kind: type[BaseModel], block: Any, path: KeyPath = ()
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """A block as its class completes it, as a plain mapping, and what is wrong with it; None where something is."""
    try:
        return kind.model_validate(block).model_dump(by_alias=True, exclude_none=True), []
    except ValidationError as error:
        found = [_explained(detail, kind, path) for detail in error.errors(include_url=False)]
        # Each way in which something could be right has an error of its own at the same place.
        return None, list({at: (at, message) for at, message in reversed(found)}.values())[::-1]


def variant_problems(
    kinds: Mapping[str, type[BaseModel]], choice: str, block: Mapping[str, Any], path: KeyPath
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """As `shape_problems` of the class that a block chooses by one of its keys, e.g. a selector by its ``method``."""
    chosen, where = block.get(choice), dotted(path)
    if choice not in block:
        return None, [(path, f"{where} lacks the key {choice!r}")]
    if chosen not in kinds:
        return None, [((*path, choice), f"{where}.{choice} is {chosen!r}; {nearest(str(chosen), kinds)}")]
    elsewhere = {name for kind in kinds.values() for name in kind.model_fields} - kinds[chosen].model_fields.keys()
    strange = [((*path, at), f"{dotted((*path, at))} means nothing to the {choice} {chosen!r}; take it away")
               for at in block if at in elsewhere]  # fmt: skip
    completed, found = shape_problems(
        kinds[chosen], {at: value for at, value in block.items() if at not in elsewhere}, path
    )
    return (None if strange else completed), strange + found


def _explained(error: Mapping[str, Any], kind: type[BaseModel], path: KeyPath) -> Problem:
    *_, last = loc = error["loc"] or ("",)
    if last == "[key]":
        return (*path, *loc[:-1]), f"the name {loc[-2]!r} in {dotted((*path, *loc[:-2]))} {_words(error, kind)}"
    if error["type"] == "extra_forbidden":
        within = _type_at(kind, loc[:-1])
        known = [field.alias or name for name, field in within.model_fields.items()]
        return (*path, *loc), f"unknown key {last!r} in {dotted((*path, *loc[:-1]))}; {nearest(str(last), known)}"
    if error["type"] == "missing":
        return (*path, *loc[:-1]), f"{dotted((*path, *loc[:-1]))} lacks the key {last!r}"
    keys = _keys(kind, error["loc"])
    return (*path, *keys), f"{dotted((*path, *keys))} {_words(error, _type_at(kind, keys))}"


def _words(error: Mapping[str, Any], kind: Any) -> str:
    """What is said of a value: what it is and what it should be."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    value = error["input"]
    if known := _choices(kind):
        return f"is {value!r}; {nearest(str(value), map(str, known))}"
    return f"is {value!r}; {error['msg'].replace('Input should', 'it should')}"


def _choices(kind: Any) -> tuple[Any, ...]:
    """The words that a type allows; those of the first alternative that has some."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((found for part in _alternatives(kind) if (found := _choices(part))), ())


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()


def _bare(kind: Any) -> Any:
    """A type without what is annotated to it and without None beside it."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    others = [part for part in _alternatives(kind) if part is not type(None)]
    return _bare(others[0]) if len(others) == 1 else kind


def _step(kind: Any, key: str | int) -> Any:
    """The type at a key of a type; None where it has no such key."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return _bare(fields[key]) if key in fields else None
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return _bare(arguments[1])
    return _bare(arguments[0]) if origin is list and isinstance(key, int) else None


def _type_at(kind: Any, path: KeyPath) -> Any:
    for key in path:
        kind = _step(kind, key)
    return kind


def _keys(kind: Any, path: KeyPath) -> KeyPath:
    """A path without the names of alternatives, which stand in the places of errors."""
    keys: list[str | int] = []
    for key in path:
        kind = _step(kind, key)
        if kind is None:
            break
        keys.append(key)
    return tuple(keys)


def _file_of(path: KeyPath, contents: Mapping[Path, Any]) -> str:
    best, depth = None, -1
    for file, content in contents.items():
        value, reached = content, 0
        for key in path:
            if not isinstance(value, Mapping) or key not in value:
                break
            value, reached = value[key], reached + 1
        if reached >= depth:
            best, depth = file, reached
    return f"{best}: " if best is not None else ""
