"""Fits a JSON schema to the OpenAPI subset that Gemini's older models take. Knows schemas only.

Newer models take JSON schema itself (`parametersJsonSchema`, `responseJsonSchema`) and need none of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.errors import UnsupportedFeatureError

__all__ = ["openapi_schema"]

# The fields of `Schema` at ai.google.dev/api/caching#Schema (2026-11-20); any other is answered with a 400.
_KEPT: Final = frozenset(
    (
        *("title", "description", "default", "example", "enum", "required", "propertyOrdering", "nullable"),
        *("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength", "pattern"),
        *("minimum", "maximum"),
    )
)
_FORMATS: Final = frozenset({"float", "double", "int32", "int64", "enum", "date-time"})
_DEEPEST: Final = 64


def openapi_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A copy in the subset, `$ref` written out and types in upper case; second, the names of what was left out.

    Raises UnsupportedFeatureError for a schema that refers to itself or nests too deep: the subset can't say it.
    """
    dropped: dict[str, None] = {}
    return _converted(schema, schema, dropped, 0), tuple(dropped)


def _converted(
    schema: Mapping[str, Any], root: Mapping[str, Any], dropped: dict[str, None], depth: int
) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise UnsupportedFeatureError("the JSON schema refers to itself or is nested too deep", param="tools")
    if isinstance(schema.get("$ref"), str):
        schema = {**_resolved(schema["$ref"], root), **{k: v for k, v in schema.items() if k != "$ref"}}
        return _converted(schema, root, dropped, depth + 1)
    built: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "type":
                _add_type(value, built)
            case "properties" if isinstance(value, Mapping):
                built["properties"] = {key: _nested(inner, root, dropped, depth) for key, inner in value.items()}
            case "items" if isinstance(value, Mapping):
                built["items"] = _nested(value, root, dropped, depth)
            case "anyOf" | "oneOf" if isinstance(value, list):
                _add_choices([_nested(inner, root, dropped, depth) for inner in value], built)
            case "allOf" if isinstance(value, list) and len(value) == 1:
                built |= _nested(value[0], root, dropped, depth)
            case "const":
                built["enum"] = [value]
            case "format" if value in _FORMATS:
                built["format"] = value
            case "$defs" | "definitions" | "$schema" | "$id" | "additionalProperties":
                pass  # said elsewhere, or the subset's own default
            case _ if name in _KEPT:
                built[name] = value
            case _:
                dropped[name] = None
    if isinstance(built.get("enum"), list):
        # Enums are of texts here.
        built["enum"] = [item if isinstance(item, str) else str(item) for item in built["enum"] if item is not None]
        built["type"] = "STRING"
    if "properties" in built:
        built.setdefault("type", "OBJECT")
    return built


def _nested(value: Any, root: Mapping[str, Any], dropped: dict[str, None], depth: int) -> dict[str, Any]:
    return _converted(value, root, dropped, depth + 1) if isinstance(value, Mapping) else {}


def _add_type(value: Any, built: dict[str, Any]) -> None:
    """`["string", "null"]` is a nullable string; several real types become alternatives."""
    names = [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]
    real = [name.upper() for name in names if name.lower() != "null"]
    if len(real) < len(names):
        built["nullable"] = True
    if len(real) == 1:
        built["type"] = real[0]
    elif real:
        built["anyOf"] = [{"type": name} for name in real]


def _add_choices(choices: list[dict[str, Any]], built: dict[str, Any]) -> None:
    real = [choice for choice in choices if set(choice) != {"nullable"}]
    if len(real) < len(choices):
        built["nullable"] = True
    if len(real) == 1:
        built |= {name: value for name, value in real[0].items() if name not in built}
    elif real:
        built["anyOf"] = real


def _resolved(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not reference.startswith("#"):
        raise UnsupportedFeatureError("the JSON schema refers to something that is not in it", param="tools")
    return found
