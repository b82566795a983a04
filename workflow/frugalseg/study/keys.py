"""Blocks of config as classes: schema, defaults, words for the docs and checks in one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    WrapValidator,
    create_model,
)


class Keys(BaseModel):
    """A block of config: no other keys than those of the class, and no value taken for one of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Titled(Keys):
    """A block with a title and a caption."""

    title: str = Field(description="One line for the report.")
    caption: str = Field("", description="What to see in the table and figure.")


def key(meaning: str, default: Any = ..., **more: Any) -> Any:
    """A key of a block: what it means, for the docs, and its default; without one it has to be given."""
    return Field(default, description=meaning, **more)


def number(**bounds: float) -> Any:
    """A number within bounds (`gt`, `ge`, `lt`, `le`); whole ones stay whole."""
    return Annotated[float, Field(**bounds), WrapValidator(_as_given)]


def whole(**bounds: int) -> Any:
    """A whole number within bounds."""
    return Annotated[int, Field(**bounds)]


def some(kind: Any, least: int = 1, most: int | None = None, unique: bool = False) -> Any:
    """A list of so many."""
    if not unique:
        return Annotated[list[kind], Field(min_length=least, max_length=most)]
    return Annotated[
        list[kind],
        Field(min_length=least, max_length=most, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_each_once),
    ]


def one_of(words: Iterable[str]) -> Any:
    """One of some words, e.g. the names of the modules of a folder."""
    return Literal[tuple(words)]


def like(pattern: str, meaning: str) -> Any:
    """Text like a regular expression; `meaning` says in words what that is."""

    def check(text: str) -> str:
        if not re.search(pattern, text):
            raise ValueError(f"is {text!r}; {meaning}")
        return text

    return Annotated[
        str,
        AfterValidator(check),
        WithJsonSchema({"type": "string", "pattern": pattern}),
    ]


def _as_given(value: Any, check: Callable[[Any], float]) -> float:
    checked = check(value)
    return value if isinstance(value, int) else checked


def _each_once(values: list[Any]) -> list[Any]:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"names {twice[0]!r} twice")
    return values


Name = like(r"^[a-z][a-z0-9_]*$", "lower-case letters, digits and _, a letter first")
DatasetName = like(r"^[a-z][a-z0-9]*$", "lower-case letters and digits, a letter first, as chains spell it")
RecipeName = like(r"^[a-z][a-z0-9-]*$", "lower-case letters, digits and -, a letter first")
SelectorName = like(r"^[a-z]+$", "lower-case letters, as chains spell it")
Seeds = some(whole(ge=0), unique=True)
AsList = BeforeValidator(
    lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=str | list[str]
)
ChainPattern = BeforeValidator(
    lambda value: {"chain": value} if isinstance(value, str) else value, json_schema_input_type=str | dict[str, Any]
)


def from_options(
    name: str, options: Mapping[str, Mapping[str, Any]], base: type[Keys] = Keys, needed: bool = True, **first: Any
) -> type[Keys]:
    """A class of blocks from what a module declares in OPTIONS: option -> a fragment of JSON schema.

    An option without a default has to be given where such are `needed`, else it may be left out, as one whose default is None.
    """
    fields = {}
    for option, told in options.items():
        default = told.get("default", ... if needed else None)
        kind = _type_of(told) | None if default is None else _type_of(told)
        fields[option] = (kind, key(told["description"], default))
    return create_model(name, __base__=base, **first, **fields)


def _type_of(told: Mapping[str, Any]) -> Any:
    if "enum" in told:
        return one_of(told["enum"])
    if "oneOf" in told:
        return reduce(or_, map(_type_of, told["oneOf"]))
    bounds = {"ge": told.get("minimum"), "le": told.get("maximum"), "multiple_of": told.get("multipleOf")}
    match told["type"]:
        case "integer":
            return whole(**bounds)
        case "number":
            return number(**bounds)
        case "array":
            return some(_type_of(told["items"]), told.get("minItems", 0), told.get("maxItems"))
        case "string" if "pattern" in told:
            return like(told["pattern"], f"text like {told['pattern']}")
    return {"string": str, "strings": Annotated[list[str], AsList], "boolean": bool}[told["type"]]
