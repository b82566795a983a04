"""The config reference from the JSON schemas: ``python -m frugalseg.study.reference`` writes docs/config.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from frugalseg.runtime.files import write_text

Schema = Mapping[str, Any]

#: Written below the repository.
PAGE = Path("docs/config.md")

_SCHEMAS = Path("workflow/schemas")
_NAME = "NAME"
_INTRODUCTION = """# The config, key by key

`make docs` makes this page from the schemas in `workflow/schemas`, by which every config is checked: edit those.

A study is layered over `config/config.yaml` and says only what differs; null takes a key away. The defaults below hold
where neither of the two files says anything. *NAME* stands for a name of your own."""


def reference(root: Path) -> str:
    """The reference as a page of Markdown, from the schemas of studies and datasets.

    Parameters
    ----------
    root : Path
        The repository; the schemas lie in its ``workflow/schemas``.

    Returns
    -------
    str
        A section for every block of keys: each key with its type and bounds, its default and what it means.
    """
    parts = [_INTRODUCTION]
    for name in ("config", "dataset"):
        schema = yaml.safe_load((root / _SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))
        parts += [f"## {schema['title']}", _sentence(schema), _needs(schema), _table(schema, schema["$defs"])]
        for path, block in _blocks("", schema, schema["$defs"]):
            if path:
                parts += [f"### {path}", _sentence(block), _needs(block), _table(block, schema["$defs"])]
        parts += _named_types(schema)
    return "\n\n".join(part for part in parts if part) + "\n"


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
        for option in schema["items"].get("oneOf", [schema["items"]]):
            yield from _blocks(f"{path}[]", option, definitions)
    for condition, then in _conditions(schema):
        # Both splits of a reader are described by the same definition.
        for key, inner in then.get("properties", {}).items():
            if inner is not False:
                _, split = next(iter(inner["properties"].items()))
                yield from _blocks(f"{path}.{key}.{_NAME} with {condition}".lstrip("."), split, definitions)


def _conditions(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The value of a key that asks for others, as Markdown, with what it asks for."""
    for rule in schema.get("allOf", []):
        for key, value in rule["if"]["properties"].items():
            yield f"`{key}: {value['const']}`", rule["then"]


def _needs(schema: Schema) -> str:
    """What a block says about its keys together, as lines of a list."""
    lines = []
    alternatives = [option["required"] for option in schema.get("oneOf", []) if "required" in option]
    if alternatives:
        lines.append(f"- Exactly one of {_quoted((keys[0] for keys in alternatives), 'and')}.")
    if "required" in schema.get("not", {}):
        lines.append(f"- Not {_quoted(schema['not']['required'], 'and')} together.")
    for condition, then in _conditions(schema):
        barred = [key for key, inner in then.get("properties", {}).items() if inner is False]
        needed = f" needs {_quoted(then['required'], 'and')}" if "required" in then else ""
        without = f" goes without {_quoted(barred, 'and')}" if barred else ""
        if needed or without:
            lines.append(f"- {condition}{' and'.join(part for part in (needed, without) if part)}.")
    return "\n".join(lines)


def _table(schema: Schema, definitions: Schema) -> str:
    rows = [
        (f"`{key}`", _type(inner, definitions), _default(key, schema), _sentence(_resolved(inner, definitions)))
        for key, inner in schema["properties"].items()
    ]
    return _markdown(("key", "type", "default", "meaning"), rows)


def _named_types(schema: Schema) -> list[str]:
    """A section of the definitions that are no blocks, so that tables name them and need not repeat them."""
    definitions = schema["$defs"]
    rows = [
        (f"*{name}*", _type(inner, definitions), _sentence(inner))
        for name, inner in definitions.items()
        if "properties" not in inner
    ]
    return [f"### Types of {schema['title'].lower()}", _markdown(("type", "is", "meaning"), rows)]


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _default(key: str, schema: Schema) -> str:
    if key in schema.get("required", []):
        return "required"
    inner = schema["properties"][key]
    if "default" not in inner:
        return ""
    default = inner["default"]
    return f"`{default if isinstance(default, str) and default else json.dumps(default)}`"


def _type(schema: Schema, definitions: Schema) -> str:
    """Type and bounds of a value in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return "block" if "properties" in definitions[name] else f"*{name}*"
    if "enum" in schema:
        return _quoted(schema["enum"], "or")
    if "const" in schema:
        return f"`{schema['const']}`"
    if "oneOf" in schema and "properties" not in schema:
        return " or ".join(_type(option, definitions) for option in schema["oneOf"])
    if isinstance(schema["type"], list):
        return " or ".join(_type({**schema, "type": kind}, definitions) for kind in schema["type"])
    match schema["type"]:
        case "array":
            return _type_of_list(schema, definitions)
        case "object":
            return _type_of_object(schema, definitions)
        case "boolean":
            return "true or false"
        case "string":
            return f"text like `{schema['pattern']}`" if "pattern" in schema else "text"
        case number:
            return f"{number} {_bounds(schema)}".rstrip()


def _type_of_list(schema: Schema, definitions: Schema) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    count = "" if least == 0 else f"{least} " if least == most else f"{least} or more "
    different = "different " if schema.get("uniqueItems") else ""
    items = _type(schema["items"], definitions) if "items" in schema else "values"
    return f"list of {count}{different}({items})" if " " in items else f"list of {count}{different}{items}"


def _type_of_object(schema: Schema, definitions: Schema) -> str:
    if "properties" in schema:
        return "block"
    names = schema.get("propertyNames", {}).get("pattern")
    like = f" like `{names}`" if names else ""
    values = schema.get("additionalProperties")
    return f"{_NAME}{like}: {_type(values, definitions)}" if isinstance(values, Mapping) else "block"


def _bounds(schema: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema)


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """The schema with what it refers to; what it says itself comes first."""
    if "$ref" not in schema:
        return schema
    return {**definitions[schema["$ref"].rsplit("/", 1)[1]], **schema}


def _sentence(schema: Schema) -> str:
    return " ".join(schema.get("description", "").split())


def _quoted(values: Iterable[Any], last: str) -> str:
    *most, final = [f"`{value}`" for value in values]
    return f"{', '.join(most)} {last} {final}" if most else final


def main() -> None:
    """Write the reference to docs/config.md of the working directory."""
    write_text(reference(Path()), PAGE)


if __name__ == "__main__":
    main()
