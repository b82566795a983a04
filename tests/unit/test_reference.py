"""The config reference, and the schemas that it is made from."""

import pytest
import yaml

from frugalseg.study.reference import reference

KEYWORDS = {
    *("$schema", "$defs", "$ref", "title", "description", "type", "enum", "const", "default", "properties", "required"),
    *("additionalProperties", "propertyNames", "minProperties", "items", "minItems", "maxItems", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "pattern", "format"),
    *("oneOf", "allOf", "not", "if", "then"),
}


@pytest.fixture(params=["config", "dataset"])
def schema(root, request):
    return yaml.safe_load((root / f"workflow/schemas/{request.param}.schema.yaml").read_text())


def schemas_within(schema):
    """The schema and all that stand in it, each with the key that it describes, if it describes one."""
    pending = [("", schema)]
    while pending:
        key, inner = pending.pop()
        if isinstance(inner, list):
            pending += [("", item) for item in inner]
        elif isinstance(inner, dict):
            yield key, inner
            for keyword, value in inner.items():
                if keyword in ("properties", "$defs"):
                    pending += value.items()
                elif keyword not in ("default", "enum"):
                    pending.append(("", value))


def test_the_page_in_docs_is_what_the_schemas_say(root):
    assert (root / "docs/config.md").read_text() == reference(root), "the schemas have changed: make docs"


def test_a_comma_does_not_cut_a_description_in_two(schema):
    # In {description: one, two} YAML takes "two" for another key, and JSON Schema keeps quiet about it.
    strange = {keyword for _, inner in schemas_within(schema) for keyword in inner} - KEYWORDS
    assert not strange


def test_every_key_is_described(schema):
    silent = [
        key
        for key, inner in schemas_within(schema)
        if key and not {"description", "$ref", "const"} & inner.keys() and "required" not in inner
    ]
    # Of splits the schema says once what they are, and then what each reader makes of them.
    assert set(silent) <= {"splits"}


def write(folder, **schemas):
    (folder / "workflow/schemas").mkdir(parents=True)
    for name in ("config", "dataset"):
        content = {"title": name, "properties": {}, "$defs": {}, **schemas.get(name, {})}
        (folder / f"workflow/schemas/{name}.schema.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("key", "cells"),
    [
        ({"type": "integer", "minimum": 2, "maximum": 5, "default": 3}, "integer ≥ 2, ≤ 5 | `3` |"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, "number > 0, < 0.5 |  |"),
        ({"enum": ["a", "b", "c"], "default": "b"}, "`a`, `b` or `c` | `b` |"),
        ({"type": "string", "pattern": "^(a|b)$", "default": ""}, 'text like `^(a\\|b)$` | `""` |'),
        ({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "boolean"}}, "list of 2 (true or false) |"),
        ({"type": ["string", "array"], "items": {"type": "string"}}, "text or list of text |"),
        ({"oneOf": [{"const": "grey"}, {"type": "integer"}]}, "`grey` or integer |"),
        ({"$ref": "#/$defs/seeds", "description": "Mine."}, "*seeds* |  | Mine. |"),
        ({"$ref": "#/$defs/seeds"}, "*seeds* |  | Theirs. |"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "NAME: text |"),
    ],
)
def test_types_bounds_and_defaults_are_told_in_words(tmp_path, key, cells):
    seeds = {"type": "integer", "description": "Theirs."}
    write(tmp_path, config={"properties": {"key": key}, "$defs": {"seeds": seeds}})
    assert f"\n| `key` | {cells}" in reference(tmp_path)


def test_blocks_within_blocks_have_sections_and_conditions_are_told(tmp_path):
    inner = {"type": "object", "properties": {"steps": {"type": "integer"}, "epochs": {"type": "integer"}}}
    inner |= {"oneOf": [{"required": ["steps"]}, {"required": ["epochs"]}]}
    then = {"required": ["size"], "properties": {"root": False}}
    write(
        tmp_path,
        config={"properties": {"recipes": {"type": "object", "additionalProperties": inner}}},
        dataset={"allOf": [{"if": {"properties": {"source": {"const": "drawn"}}}, "then": then}]},
    )
    page = reference(tmp_path)
    assert "### recipes.NAME\n\n- Exactly one of `steps` and `epochs`.\n\n| key |" in page
    assert "- `source: drawn` needs `size` and goes without `root`.\n" in page
