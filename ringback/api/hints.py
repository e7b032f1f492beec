"""Compares arguments with type hints, as strictly as JSON Schema does and at a bounded cost. Pure.

It takes the schema that pydantic has made of the hints, and changes four things in it:

- A model is a dict with these fields, since nobody needs its instance, and a union ends with the first choice that
  fits: a list of models in a union takes a twentieth of the time.
- A list ends with its first wrong element: a body has room for half a million, and each error costs.
- A whole number may be written as 3.0 (JSON Schema, 6.1.1).
- Hints of what JSON has by itself are compared with Python's values. Only other hints, such as ``datetime``, which JSON
  has as text, need JSON again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pydantic_core
from pydantic import BaseModel
from pydantic_core import SchemaValidator

#: Kinds of schemas that accept the same values from JSON and from Python's lists, dicts, strings and numbers.
PLAIN = frozenset(
    {
        *("any", "none", "bool", "int", "float", "str", "list", "dict", "literal"),
        *("nullable", "union", "default", "definitions", "definition-ref"),
        *("model", "model-fields", "model-field", "typed-dict", "typed-dict-field"),
    }
)

#: Kinds of schemas that need no instance of a model that is within them. A validator of the project's may.
INSTANCELESS = PLAIN | frozenset({"datetime", "date", "time", "timedelta", "decimal", "uuid", "bytes", "enum", "tuple"})

ENDS_EARLY = frozenset({"list", "tuple", "set", "frozenset"})

#: Marks the kind of a schema in JSON of which text stands for other values, as of a dict with numbers for keys.
OF_OTHERS = " of others"

#: The parts of a schema that have no schemas of values in them.
OTHER_PARTS = frozenset({"cls", "config", "metadata", "serialization", "default", "computed_fields", "keys_schema"})


class Hints:
    """The type hints of a task's arguments.

    :param model: a model of the arguments.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        schema = model.__pydantic_core_schema__
        kinds = set(_kinds(schema))
        self._instances = not {kind.removesuffix(OF_OTHERS) for kind in kinds} <= INSTANCELESS
        self.are_plain = kinds <= PLAIN
        self._validator = _validator_of(self._adapt(schema))

    def check(self, arguments: dict[str, Any]) -> None:
        """Compare arguments with the hints.

        :param arguments: values as JSON has them.
        :raises pydantic.ValidationError: they do not fit.
        :raises ValueError: a value has no JSON.
        """
        if self.are_plain:
            self._validator.validate_python(arguments, strict=True)
            return
        text = pydantic_core.to_json(arguments, inf_nan_mode="constants")
        self._validator.validate_json(text, strict=True)

    def _adapt(self, schema: Any) -> Any:
        if isinstance(schema, list | tuple):
            return type(schema)(map(self._adapt, schema))
        if not isinstance(schema, dict):
            return schema
        kind = schema.get("type")
        if not isinstance(kind, str):  # fields by name, of which one may be called "type"
            return {name: self._adapt(part) for name, part in schema.items()}
        adapted = {name: part if name in OTHER_PARTS else self._adapt(part) for name, part in schema.items()}
        if kind in ENDS_EARLY:
            adapted["fail_fast"] = True
        if kind == "union":
            adapted["mode"] = "left_to_right"
        if kind == "model" and not self._instances:
            return _without_instance(adapted)
        return _or_whole(adapted) if kind == "int" else adapted


def _kinds(schema: Any) -> Iterator[str]:
    """The kinds of a schema and of those within it."""
    if isinstance(schema, list | tuple):
        for part in schema:
            yield from _kinds(part)
    elif isinstance(schema, dict):
        kind = schema.get("type")
        if isinstance(kind, str):
            yield kind if _is_plain(schema) else kind + OF_OTHERS
        for name, part in schema.items():
            if not (isinstance(kind, str) and name in OTHER_PARTS):
                yield from _kinds(part)


def _validator_of(schema: Any) -> SchemaValidator:
    """Make a validator. Pydantic since 2.12 would take the one that each model in the schema has, of another schema."""
    try:
        return SchemaValidator(schema, _use_prebuilt=False)
    except TypeError:  # the older ones have no such parameter, and take none
        return SchemaValidator(schema)


def _is_plain(schema: dict[str, Any]) -> bool:
    if schema["type"] == "literal":
        return all(isinstance(value, str | int | None) for value in schema["expected"])
    return schema.get("keys_schema", {"type": "str"})["type"] in ("any", "str")


def _without_instance(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a dict with the fields of a model, unless the making of an instance is of the project's own."""
    inner = schema["schema"]
    own = schema.get("custom_init") or schema.get("root_model") or schema.get("post_init")
    config = schema.get("config", {})
    if own or config.get("validate_default") or inner["type"] != "model-fields" or "extras_keys_schema" in inner:
        return schema
    fields = {name: _key_of(field) for name, field in inner["fields"].items()}
    named = {"type": "typed-dict", "cls_name": schema["cls"].__name__, "fields": fields}
    return {**named, **_some(inner, "strict", "extras_schema", "extra_behavior"), **_some(schema, "config", "ref")}


def _key_of(field: dict[str, Any]) -> dict[str, Any]:
    schema, required = field["schema"], field["schema"]["type"] != "default"
    if not required and not schema.get("validate_default"):
        schema = schema["schema"]
    return {"type": "typed-dict-field", "schema": schema, "required": required, **_some(field, "validation_alias")}


def _some(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    """The parts of a schema that have these names, as far as it has them."""
    return {name: schema[name] for name in names if name in schema}


def _or_whole(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an integer, or of the same number with a fraction of 0."""
    limits = _some(schema, "ge", "gt", "le", "lt")
    whole: dict[str, Any] = {
        "type": "float",
        "multiple_of": float(schema.get("multiple_of", 1)),
        "allow_inf_nan": False,
        **limits,
    }
    either: dict[str, Any] = {"type": "union", "choices": [schema, whole], "mode": "left_to_right"}
    return either if limits else {**either, "custom_error_type": "int_type"}  # one error is made sooner than two
