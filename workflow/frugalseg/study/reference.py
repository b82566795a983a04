"""What the classes of the config say, for people and editors: ``python -m frugalseg.study.reference`` writes both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from frugalseg.runtime.files import write_text
from frugalseg.runtime.literals import names_of
from frugalseg.study import questions, selector
from frugalseg.study.dataset import SOURCES, split_class
from frugalseg.study.kinds import KINDS
from frugalseg.study.messages import read_yaml
from frugalseg.study.recipe import Recipe, networks, ways_of_keeping
from frugalseg.study.study import Study

Schema = Mapping[str, Any]

#: Written below the repository.
PAGE = Path("docs/config.md")
EDITORS = Path("config/study.schema.json")

_NAME = "NAME"
_INTRODUCTION = """# The config, key by key

`make docs` makes this page, and `config/study.schema.json` for editors, from the classes in `workflow/frugalseg/study`, by
which every config is checked: edit those.

A study is one file; `config/recipes.yaml` is read beside it, and questions are filled in from `config/questions`. *NAME*
stands for a name of your own."""
_SIGNS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "multipleOf": "a multiple of",
}


def reference() -> str:
    """Every block of keys as a page of Markdown: each key with its type and bounds, its default and what it means."""
    parts = [_INTRODUCTION, "## A study", *_sections("", Study)]
    for kind, of in KINDS.items():
        parts += _sections(f"questions.{_NAME} of the kind `{kind}`", of.keys)
    parts += _sections(f"recipes.{_NAME}", Recipe)
    for network, keys in networks().items():
        own = [name for name in keys.model_fields if name not in Recipe.model_fields]
        parts += _sections(f"recipes.{_NAME} with the arch `{network}`", keys, own) if own else []
    for method, keys in ways_of_keeping().items():
        parts += _sections(f"recipes.{_NAME}.keep with the method `{method}`", keys)
    for method, keys in selector.methods().items():
        parts += _sections(f"selectors.{_NAME} with the method `{method}`", keys)
    parts += ["## A dataset", "A file of `config/datasets`."]
    for source, keys in SOURCES.items():
        parts += _sections(f"A dataset with the source `{source}`", keys)
    for reader in names_of("data/readers"):
        parts += _sections(f"splits.{_NAME} with the reader `{reader}`", split_class(reader))
    return "\n\n".join(part for part in parts if part) + "\n"


def for_editors(root: Path) -> dict[str, Any]:
    """A JSON schema of studies; `root` is the repository, whose templates are in it with their parameters."""
    schema = schema_of(Study)
    blocks = {kind: schema_of(of.keys) for kind, of in KINDS.items()}
    recipes = [schema_of(keys) for keys in networks().values()]
    selectors = [schema_of(keys) for keys in selector.methods().values()]
    for block in [*blocks.values(), *recipes, *selectors]:
        schema["$defs"] |= block.pop("$defs", {})
    schema["$defs"] |= blocks
    # A recipe that is like another need not say what that one says, not even its network.
    keys = {name: inner for recipe in recipes for name, inner in recipe["properties"].items()}
    schema["properties"]["recipes"]["additionalProperties"] = {"properties": keys, "additionalProperties": False}
    templates = {path.stem: read_yaml(path) for path in sorted((root / questions.FOLDER).glob("*.yaml"))}
    asking = {"type": "object", "required": ["ask"], "properties": {"ask": {"enum": list(templates)}}}
    asked = schema["properties"]["questions"]
    asked["properties"] = {
        name: {"anyOf": [_template(template, blocks), asking]} for name, template in templates.items()
    }
    asked["additionalProperties"] = {"anyOf": [*({"$ref": f"#/$defs/{kind}"} for kind in blocks), asking]}
    schema["properties"]["selectors"]["additionalProperties"] = {"anyOf": selectors}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_of(keys: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a class, without titles, and without null for what may be left out."""
    return _without_null(keys.model_json_schema(by_alias=True))


def _template(template: Mapping[str, Any], blocks: Mapping[str, Schema]) -> dict[str, Any]:
    """What a question of the name of a template may say: its parameters, and keys that are laid over the block."""
    kind = template["kind"]
    own = {name: {"$ref": f"#/$defs/{kind}/properties/{name}"} for name in blocks[kind]["properties"]}
    given = dict.fromkeys((*template.get("required", []), *template.get("parameters", {})), True)
    return {"type": "object", "properties": own | given, "additionalProperties": False}


def _without_null(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_null(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned = {}
    for key, value in schema.items():
        # A property may be called title; the keys of a block have defaults of their own.
        if key in ("properties", "$defs"):
            cleaned[key] = {name: _without_null(inner) for name, inner in value.items()}
        elif not (key == "title" or (key == "default" and (value is None or isinstance(value, Mapping)))):
            cleaned[key] = _without_null(value)
    if {"type": "null"} in cleaned.get("anyOf", []):
        options = [option for option in cleaned.pop("anyOf") if option != {"type": "null"}]
        cleaned = (options[0] if len(options) == 1 else {"anyOf": options}) | cleaned
    return cleaned


def _sections(path: str, keys: type[BaseModel], only: Sequence[str] = ()) -> Iterator[str]:
    """Heading, words and table of a block, of all its keys or some, and of all blocks in it."""
    schema = schema_of(keys)
    if only:
        schema["properties"] = {name: schema["properties"][name] for name in only}
    definitions = schema.get("$defs", {})
    for inner, block in _blocks(path, schema, definitions):
        yield from ([f"### {inner}"] if inner else [])
        yield _sentence(block)
        yield _table(block, definitions)


def _blocks(path: str, schema: Schema, definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """Every schema with keys of its own, at or below a path of keys, with that path."""
    schema = _resolved(schema, definitions)
    if "properties" in schema:
        yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from _blocks(f"{path}.{key}".lstrip("."), inner, definitions)
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _blocks(f"{path}.{_NAME}", schema["additionalProperties"], definitions)
    if "items" in schema:
        yield from _blocks(f"{path}[]", schema["items"], definitions)


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    return definitions[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def _table(schema: Schema, definitions: Schema) -> str:
    rows = [
        (
            f"`{key}`",
            type_of(inner, definitions),
            _default(key, schema),
            _sentence(inner) or _sentence(_resolved(inner, definitions)),
        )
        for key, inner in schema["properties"].items()
    ]
    lines = [("key", "type", "default", "meaning"), ["---"] * 4, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _default(key: str, schema: Schema) -> str:
    if key in schema.get("required", []):
        return "required"
    if "default" not in (inner := schema["properties"][key]):
        return ""
    default = inner["default"]
    return f"`{default if isinstance(default, str) and default else json.dumps(default)}`"


def type_of(schema: Schema, definitions: Schema) -> str:
    """Type and bounds of a value in words."""
    if "$ref" in schema:
        return "block"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _quoted(schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(option, definitions) for option in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            return _type_of_list(schema, definitions)
        case "object":
            return _type_of_object(schema, definitions)
        case "boolean":
            return "true or false"
        case "string":
            return f"text like `{schema['pattern']}`" if "pattern" in schema else "text"
        case None:
            return "a value"
        case kind:
            return f"{kind} {_bounds(schema)}".rstrip()


def _type_of_list(schema: Schema, definitions: Schema) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    count = "" if least == 0 else f"{least} " if least == most else f"{least} or more "
    different = "different " if schema.get("uniqueItems") else ""
    items = type_of(schema["items"], definitions) if schema.get("items") else "values"
    return f"list of {count}{different}({items})" if " " in items else f"list of {count}{different}{items}"


def _type_of_object(schema: Schema, definitions: Schema) -> str:
    values = schema.get("additionalProperties")
    return f"{_NAME}: {type_of(values, definitions)}" if isinstance(values, Mapping) and values else "block"


def _bounds(schema: Schema) -> str:
    return ", ".join(f"{sign} {schema[key]:g}" for key, sign in _SIGNS.items() if key in schema)


def _sentence(schema: Schema) -> str:
    return " ".join(schema.get("description", "").split())


def _quoted(values: Sequence[Any] | Iterable[Any]) -> str:
    *most, final = [f"`{value}`" for value in values]
    return f"{', '.join(most)} or {final}" if most else final


def main() -> None:
    """Write both to the working directory."""
    write_text(reference(), PAGE)
    write_text(json.dumps(for_editors(Path()), indent=1) + "\n", EDITORS)


if __name__ == "__main__":
    main()
